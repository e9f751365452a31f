//! One behaviour suite for every store.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::store::fjall::FjallStore;
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::store::{Batch, Durability, Pair, Store, StoreError, Table};

use crate::support::Random;

const PLAIN: Table = Table { name: "plain", compress: false };
const TEXT: Table = Table { name: "text", compress: true };
const TABLES: [Table; 2] = [PLAIN, TEXT];

fn key(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

fn all(store: &dyn Store, table: Table) -> Vec<Pair> {
    store.scan(table, &[], &[], false, usize::MAX).expect("scans")
}

/// Random batches beside a map; `reopen` gives the same store once more.
fn suite(mut store: Arc<dyn Store>, reopen: &dyn Fn(Arc<dyn Store>) -> Arc<dyn Store>) {
    let mut random = Random(7);
    let mut model: BTreeMap<(&str, Bytes), Bytes> = BTreeMap::new();
    for round in 0..60 {
        let mut batch = Batch::default();
        for _ in 0..random.below(20) {
            let table = TABLES[random.below(2) as usize];
            let key = key(random.below(40));
            if random.below(3) == 0 {
                model.remove(&(table.name, key.clone()));
                batch.delete(table, key);
            } else {
                let value = Bytes::from(vec![round; random.below(300) as usize]);
                model.insert((table.name, key.clone()), value.clone());
                batch.put(table, key, value);
            }
        }
        let durability = if round % 2 == 0 { Durability::Disk } else { Durability::Os };
        store.commit(batch, durability).expect("commits");
        if round % 20 == 19 {
            store.sync().expect("syncs");
            store = reopen(store);
        }
        for table in TABLES {
            let expected: Vec<Pair> = model
                .iter()
                .filter(|((name, _), _)| *name == table.name)
                .map(|((_, k), v)| (k.clone(), v.clone()))
                .collect();
            assert_eq!(all(store.as_ref(), table), expected, "round {round}");
            let (from, to) = (key(random.below(40)), key(random.below(40)));
            let mut inside: Vec<Pair> =
                expected.iter().filter(|(k, _)| *k >= from && *k < to).cloned().collect();
            let scan = |reverse, limit| store.scan(table, &from, &to, reverse, limit);
            assert_eq!(scan(false, usize::MAX).expect("scans"), inside);
            inside.reverse();
            inside.truncate(3);
            assert_eq!(scan(true, 3).expect("scans"), inside);
            for n in [0, 17, 39, 41] {
                let found = store.get(table, &key(n)).expect("reads");
                assert_eq!(found, model.get(&(table.name, key(n))).cloned());
            }
        }
    }
    // The last change of a key wins, whichever it is.
    let mut batch = Batch::default();
    batch.put(PLAIN, key(1), Bytes::from_static(b"a"));
    batch.delete(PLAIN, key(1));
    batch.delete(PLAIN, key(2));
    batch.put(PLAIN, key(2), Bytes::from_static(b"b"));
    batch.put(TEXT, key(1), Bytes::new());
    store.commit(batch, Durability::Disk).expect("commits");
    store = reopen(store);
    assert_eq!(store.get(PLAIN, &key(1)).expect("reads"), None);
    assert_eq!(store.get(PLAIN, &key(2)).expect("reads").as_deref(), Some(b"b".as_slice()));
    assert_eq!(store.get(TEXT, &key(1)).expect("reads").as_deref(), Some(b"".as_slice()));
    store.commit(Batch::default(), Durability::Disk).expect("nothing is no error");
}

#[test]
fn memory_behaves() {
    suite(Arc::new(MemoryStore::new()), &|store| store);
}

#[test]
fn disk_behaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let open = || Arc::new(FjallStore::open(&path, &TABLES).expect("opens")) as Arc<dyn Store>;
    suite(open(), &|store| {
        drop(store);
        open()
    });
}

#[test]
fn a_table_that_was_not_opened_and_a_folder_in_use_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(&folder.path().join("db"), &[PLAIN]).expect("opens");
    assert!(matches!(store.get(TEXT, b"k"), Err(StoreError::Engine { .. })));
    assert!(FjallStore::open(&folder.path().join("db"), &[PLAIN]).is_err());
}
