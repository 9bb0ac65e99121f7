//! `docs/SETTINGS.md` is the table of settings, written out. `make docs` writes it; this test says when that was forgotten.

use std::fmt::Write;

use tributary_core::settings::Settings;
use tributary_core::settings::table::TABLE;

use super::files;

const FILE: &str = "docs/SETTINGS.md";

const HEAD: &str = "\
# Settings

Written by `make docs` from `core/src/settings/table.rs`, which is the one list of them: change that.

A flag is stronger than the environment, the environment than the file `tributary.toml` (or the one that `--config` names), the file than
the default. In the file a name is written as here, with its part before the point as the section: `[kafka]`, then `partitions = 12`. On the
command line any of them is `--set kafka.partitions=12`. `tributary config show` says what is in force and who said so.

Times have a unit (`500 ms`, `1s`, `24h`), sizes may have one (`24 MiB`). A secret is shown as `***`, and each of its names in the
environment has a twin that ends in `_FILE` and names a file with the value. Any property of librdkafka is `kafka.properties.NAME`, any
option of the object store `lake.options.NAME`.
";

#[test]
fn the_document_is_what_the_table_says() {
    let wanted = document();
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(files::root().join(FILE), &wanted).unwrap();
    }
    assert!(files::text(FILE) == wanted, "{FILE} is not what core/src/settings/table.rs says: run `make docs`");
}

fn document() -> String {
    let defaults = Settings::default();
    let mut text = String::from(HEAD);
    let mut section = "";
    for row in TABLE {
        let own = row.name.split_once('.').map_or("", |(section, _)| section);
        if own != section || text.ends_with(HEAD) {
            let title = if own.is_empty() { "Everything" } else { own };
            write!(text, "\n## {title}\n\n| Setting | In the environment | Default | |\n|---|---|---|---|\n").unwrap();
            section = own;
        }
        let names: Vec<String> = row.env_names().iter().map(|name| format!("`{name}`")).collect();
        let default = row.show(&defaults).map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
        let secret = if row.secret { " *Secret.*" } else { "" };
        writeln!(text, "| `{}` | {} | {default} | {}{secret} |", row.name, names.join(", "), row.help.replace('|', "\\|"))
            .unwrap();
    }
    text
}
