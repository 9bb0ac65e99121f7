//! Whether the bronze tables that are there can hold their streams as they are declared now.
//!
//! What cannot be read says nothing here: whoever reads it next says so.

use tributary_actors::lake::LakeError;
use tributary_actors::lake::table::lacks;
use tributary_core::stream::Stream;

use super::catalog::Catalog;

/// Of each that cannot: which stream, and why.
pub(crate) async fn misfits(catalog: &Catalog, streams: impl Iterator<Item = &Stream>) -> Vec<String> {
    let mut misfits = Vec::new();
    for stream in streams {
        let Ok(Some(table)) = catalog.find(&stream.bronze_table()).await else { continue };
        if let Err(LakeError::Refused { problem, .. }) = lacks(&table, stream) {
            misfits.push(format!("stream {} does not fit its table bronze.{}: {problem}", stream.name, stream.name));
        }
    }
    misfits
}
