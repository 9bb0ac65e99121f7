//! What a browser loads once: styles, scripts, the icon. Compiled in; an address has the digest of what is behind it, so that it may be
//! kept for ever and a new version is another address.

use std::sync::OnceLock;

use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::guard::said;
use super::squeeze;

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const ASSETS: [Asset; 6] = [
    Asset { name: "console.css", kind: "text/css; charset=utf-8", bytes: include_bytes!("assets/console.css") },
    Asset { name: "console.js", kind: "text/javascript; charset=utf-8", bytes: include_bytes!("assets/console.js") },
    Asset { name: "theme.js", kind: "text/javascript; charset=utf-8", bytes: include_bytes!("assets/theme.js") },
    Asset { name: "icon.svg", kind: "image/svg+xml", bytes: include_bytes!("assets/icon.svg") },
    Asset {
        name: "uPlot.iife.min.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/vendor/uPlot.iife.min.js"),
    },
    Asset { name: "uPlot.min.css", kind: "text/css; charset=utf-8", bytes: include_bytes!("assets/vendor/uPlot.min.css") },
];

fn addresses() -> &'static [String; ASSETS.len()] {
    static ADDRESSES: OnceLock<[String; ASSETS.len()]> = OnceLock::new();
    ADDRESSES.get_or_init(|| {
        ASSETS.each_ref().map(|asset| {
            let digest: String = Sha256::digest(asset.bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            format!("/assets/{digest}-{}", asset.name)
        })
    })
}

/// Each of them in fewer bytes.
fn squeezed() -> &'static [Vec<u8>] {
    static SQUEEZED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SQUEEZED.get_or_init(|| ASSETS.iter().filter_map(|asset| squeeze::gzip(asset.bytes)).collect())
}

/// Where a browser finds it.
pub(crate) fn address(name: &'static str) -> &'static str {
    let found = ASSETS.iter().position(|asset| asset.name == name);
    found.and_then(|at| addresses().get(at)).map_or("", String::as_str)
}

/// Gives it.
pub(crate) async fn serve(request: HttpRequest, _name: Path<String>) -> HttpResponse {
    let found = addresses().iter().position(|address| address == request.path());
    match found.and_then(|at| Some((at, ASSETS.get(at)?))) {
        Some((at, asset)) => {
            let mut answer = HttpResponse::Ok();
            answer.insert_header(("Cache-Control", "public, max-age=31536000, immutable")).content_type(asset.kind);
            squeeze::body(&request, &mut answer, asset.bytes.to_vec(), squeezed().get(at).map(Vec::as_slice))
        }
        None => said(request.path(), &Failure::not_found("there is no such file; the page that names it is of an older version")),
    }
}
