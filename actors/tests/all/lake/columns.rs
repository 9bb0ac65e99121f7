//! Fields that are declared after a table was made.

use std::sync::Arc;

use tributary_actors::lake::LakeError;
use tributary_actors::lake::delta_log::{CommitError, DeltaLog};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::table::ensure;
use tributary_core::stream::Stream;

use super::commit;
use crate::common::lake::{Table, verify_chain, versions};
use crate::common::payments::{DECLARATION, stream};

fn declared(field: &str) -> Arc<Stream> {
    Arc::new(Stream::parse(&format!("{DECLARATION}\n[[field]]\n{field}\n"), "payments.toml").unwrap())
}

async fn columns(table: &Table) -> Vec<String> {
    let schema = Snapshot::open(&table.store).await.unwrap().metadata().parse_schema().unwrap();
    schema.fields().map(|field| field.name().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_added_once_by_whoever_is_first_and_none_is_taken_away() {
    let table = Table::new(&stream()).await;
    let before = columns(&table).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    log.commit(&commit(&log, &[(0, 0, 10)])).await.unwrap();

    let tills = declared("name = \"till\"\ntype = \"text\"");
    let both = [0, 1].map(|_| {
        let (store, tills) = (table.store.clone(), Arc::clone(&tills));
        tokio::spawn(async move { ensure(&store, &tills).await })
    });
    for instance in both {
        instance.await.unwrap().unwrap();
    }
    let after = columns(&table).await;
    assert_eq!(after, [before, vec!["till".to_owned()]].concat());
    assert_eq!(versions(&table.store).await, [0, 1, 2], "one commit for both of them");

    // Somebody who does not know the field yet may go on, and takes nothing away.
    ensure(&table.store, &stream()).await.unwrap();
    assert_eq!(columns(&table).await, after);
    let next = commit(&log, &[(0, 10, 20)]);
    assert!(matches!(log.commit(&next).await, Err(CommitError::TableChanged(2))), "who wrote before looks at the table again");
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    log.commit(&next).await.unwrap();
    verify_chain(&table.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_another_type_is_refused_and_nothing_is_changed() {
    let table = Table::new(&declared("name = \"till\"\ntype = \"text\"")).await;
    let number = declared("name = \"till\"\ntype = \"integer\"");
    let refused = ensure(&table.store, &number).await;
    assert!(matches!(&refused, Err(LakeError::Refused { problem, .. }) if problem.contains("column till is")), "{refused:?}");
    assert_eq!(versions(&table.store).await, [0]);
}
