//! The artifact store on a disk: what is written twice, altered, lost.

use std::{fs, path::Path};

use crds::Digest;
use prover_worker::store::{Store, StoreError};
use url::Url;

fn open(directory: &Path) -> Store {
    Store::open(Url::from_directory_path(directory).unwrap().as_str()).unwrap()
}

#[test]
fn bytes_come_back_under_their_digest_however_often_they_are_put() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = store.put(b"artifact".to_vec()).unwrap();
    assert_eq!(first, store.put(b"artifact".to_vec()).unwrap());
    assert_eq!(first.digest.0, *blake3::hash(b"artifact").as_bytes());
    assert_eq!(first.bytes, 8);
    assert_eq!(open(directory.path()).get(first.digest).unwrap(), b"artifact");
    assert_eq!(fs::read_dir(directory.path().join("artifacts")).unwrap().count(), 1);
    assert_eq!(store.url_of(first.digest), format!("{}artifacts/{}", store.url(), first.digest));
}

#[test]
fn altered_bytes_are_found_out_and_writing_again_repairs_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let digest = store.put(b"artifact".to_vec()).unwrap().digest;
    let file = directory.path().join("artifacts").join(digest.to_string());
    for altered in [&b"Artifact"[..], b"artifac", b"artifact ", b""] {
        fs::write(&file, altered).unwrap();
        assert!(matches!(store.get(digest), Err(StoreError::Corrupt { .. })));
        store.put(b"artifact".to_vec()).unwrap();
        assert_eq!(store.get(digest).unwrap(), b"artifact");
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(store.get(digest), Err(StoreError::Missing { .. })));
}

#[test]
fn the_index_forgets_and_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (identity, artifact) = (Digest([1; 32]), store.put(vec![7]).unwrap());
    assert_eq!(store.find(identity).unwrap(), None);
    store.bind(identity, artifact).unwrap();
    store.bind(identity, artifact).unwrap();
    assert_eq!(store.find(identity).unwrap(), Some(artifact));
    fs::write(directory.path().join("index").join(identity.to_string()), b"{\"digest\":\"no\"}").unwrap();
    assert_eq!(store.find(identity).unwrap(), None, "an entry that does not parse is no entry");
    store.unbind(identity).unwrap();
    store.unbind(identity).unwrap();
}

#[test]
fn what_is_no_store_is_refused_with_its_name() {
    for url in ["", "store", "ftp://host/store", "file://host/store"] {
        match Store::open(url) {
            Err(error) => assert!(error.to_string().starts_with(&format!("{url} is not an artifact store")), "{error}"),
            Ok(_) => panic!("{url} was taken for a store"),
        }
    }
}

#[cfg(feature = "cloud")]
#[test]
fn object_stores_of_the_clouds_are_compiled_in() {
    for url in ["s3://bucket/prefix", "gs://bucket/prefix", "az://container/prefix"] {
        match Store::open(url) {
            Ok(_) => {}
            // Without credentials or an account some refuse at once; none may call the scheme unknown.
            Err(error) => assert!(!error.to_string().contains("not one that this build reads"), "{error}"),
        }
    }
}
