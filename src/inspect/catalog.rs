//! The tables of the lake, by their names in SQL.
//!
//! Found by looking into the three layers, so that a table which no stream and no model names any more is there as well. Creates
//! nothing, not even the lake's folder.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use deltalake::logstore::{LogStoreRef, StorageConfig, logstore_for};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::{register_fsync_store, table};
use tributary_core::settings::Settings;
use tributary_core::stream::did_you_mean;
use url::Url;

/// What is made from what: tables of the right are made from those of the left.
pub(crate) const LAYERS: [&str; 3] = ["bronze", "silver", "gold"];

/// A lake.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    url: Url,
    options: BTreeMap<String, String>,
}

/// There is no such table.
#[derive(Debug, thiserror::Error)]
#[error("no table {name} in the lake; {there_are}")]
pub(crate) struct NoTable {
    name: String,
    there_are: String,
}

impl Catalog {
    /// Of these settings, which know of a running `up`.
    pub(crate) fn of(settings: &Settings) -> Result<Self> {
        let given = &settings.lake.url;
        let url = match given.contains("://") {
            true => Url::parse(&format!("{}/", given.trim_end_matches('/'))).with_context(|| format!("{given} is not a URL"))?,
            false => {
                let path = std::path::absolute(given).with_context(|| format!("cannot find out where {given} is"))?;
                Url::from_directory_path(&path).map_err(|()| anyhow::anyhow!("{given} is not a path that has a URL"))?
            }
        };
        Ok(Self { url, options: settings.lake.options.clone() })
    }

    /// Where it is, for people.
    pub(crate) fn place(&self, name: &str) -> String {
        let place = name.split_once('.').and_then(|(layer, table)| self.url.join(&format!("{layer}/{table}")).ok());
        let place = place.unwrap_or_else(|| self.url.clone());
        place.to_file_path().map_or_else(|()| place.to_string(), |path| path.display().to_string())
    }

    /// The table's store. Loads nothing.
    pub(crate) fn store(&self, name: &str) -> Result<LogStoreRef> {
        Ok(table(&self.url, name, self.options.clone())?)
    }

    /// Names of what looks like a table, in the order of the layers.
    pub(crate) async fn names(&self) -> Result<Vec<String>> {
        // A local store cannot be had for a folder that is not there.
        if self.url.to_file_path().is_ok_and(|path| !path.is_dir()) {
            return Ok(Vec::new());
        }
        register_fsync_store();
        let options = StorageConfig::parse_options(self.options.clone()).context("the lake's options")?;
        let store = logstore_for(&self.url, options).with_context(|| format!("cannot open a store for {}", self.url))?;
        let mut names = Vec::new();
        for layer in LAYERS {
            let listed = store.object_store(None).list_with_delimiter(Some(&layer.into())).await;
            let listed = listed.with_context(|| format!("cannot list {}{layer}", self.url))?;
            let folders = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename());
            let mut of_layer: Vec<String> = folders.map(|folder| format!("{layer}.{folder}")).collect();
            // What another program keeps beside the tables is none.
            of_layer.retain(|name| self.store(name).is_ok());
            of_layer.sort();
            names.append(&mut of_layer);
        }
        Ok(names)
    }

    /// The newest version, if there is a table of that name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Snapshot>> {
        if !self.may_be_there(name) {
            return Ok(None);
        }
        Ok(Snapshot::find(&self.store(name)?).await?)
    }

    /// A version of a table: the newest one without `version`.
    pub(crate) async fn open(&self, name: &str, version: Option<u64>) -> Result<Snapshot> {
        let snapshot = match (version, self.may_be_there(name)) {
            (_, false) => None,
            (None, true) => self.find(name).await?,
            (Some(version), true) => Some(Snapshot::at(&self.store(name)?, version).await?),
        };
        match snapshot {
            Some(snapshot) => Ok(snapshot),
            None => Err(self.unknown(name).await.into()),
        }
    }

    /// All tables at their newest versions: those that are made from others first, so that none has what its source has not.
    pub(crate) async fn all(&self) -> Result<Vec<(String, Snapshot)>> {
        let mut all = Vec::new();
        for name in self.names().await?.into_iter().rev() {
            if let Some(snapshot) = self.find(&name).await? {
                all.push((name, snapshot));
            }
        }
        all.reverse();
        Ok(all)
    }

    /// The full name of what a person wrote: `kpi_dau` is `gold.kpi_dau` unless another layer has one, too.
    pub(crate) async fn resolve(&self, written: &str) -> Result<String> {
        let names = self.names().await?;
        if names.iter().any(|name| name == written) {
            return Ok(written.to_owned());
        }
        let bare: Vec<&String> =
            names.iter().filter(|name| name.split_once('.').is_some_and(|(_, table)| table == written)).collect();
        match bare[..] {
            [one] => Ok(one.clone()),
            _ => Err(no_table(written, &names).into()),
        }
    }

    async fn unknown(&self, name: &str) -> NoTable {
        no_table(name, &self.names().await.unwrap_or_default())
    }

    /// False for a local folder that is not there: a store for it would create it.
    fn may_be_there(&self, name: &str) -> bool {
        let folder =
            name.split_once('.').and_then(|(layer, table)| self.url.to_file_path().ok().map(|p| p.join(layer).join(table)));
        folder.is_none_or(|folder| Path::is_dir(&folder))
    }
}

/// What is said of a name that no table has.
pub(crate) fn no_table(name: &str, names: &[String]) -> NoTable {
    let there_are = match names.is_empty() {
        true => "the lake is empty: `tributary up` fills it".to_owned(),
        false => format!("{}there are: {}", did_you_mean(name, names.iter().map(String::as_str)), names.join(", ")),
    };
    NoTable { name: name.to_owned(), there_are }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(lake: &str) -> Catalog {
        let mut settings = Settings::default();
        lake.clone_into(&mut settings.lake.url);
        Catalog::of(&settings).unwrap()
    }

    #[tokio::test]
    async fn a_lake_that_is_not_there_is_empty_and_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        let catalog = catalog(lake.to_str().unwrap());
        assert_eq!(catalog.names().await.unwrap(), Vec::<String>::new());
        let error = catalog.open("gold.kpi_dau", None).await.unwrap_err().to_string();
        assert!(error.contains("no table gold.kpi_dau") && error.contains("tributary up"), "{error}");
        assert!(!lake.exists(), "looking made it");
    }

    #[tokio::test]
    async fn folders_of_the_layers_are_tables_and_a_bare_name_is_enough_where_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        for table in ["bronze/user_events", "silver/user_events", "gold/kpi_dau", "gold/.tmp", "backup/kpi_dau"] {
            std::fs::create_dir_all(folder.path().join(table).join("x")).unwrap();
            std::fs::write(folder.path().join(table).join("x/y"), "").unwrap();
        }
        let catalog = catalog(folder.path().to_str().unwrap());
        assert_eq!(catalog.names().await.unwrap(), ["bronze.user_events", "silver.user_events", "gold.kpi_dau"]);
        assert_eq!(catalog.resolve("kpi_dau").await.unwrap(), "gold.kpi_dau");
        let error = catalog.resolve("gold.kpi_dua").await.unwrap_err().to_string();
        assert!(error.contains("did you mean `gold.kpi_dau`?"), "{error}");
        let error = catalog.resolve("user_events").await.unwrap_err().to_string();
        assert!(error.contains("bronze.user_events, silver.user_events"), "{error}");
        assert!(catalog.place("gold.kpi_dau").ends_with("/gold/kpi_dau"));
    }

    #[test]
    fn a_url_is_a_lake_too() {
        assert_eq!(catalog("s3://bucket/lake").place("gold.a"), "s3://bucket/lake/gold/a");
    }
}
