//! The benchmark of the kernels: that it measures all of them, and claims no more than they did.

use kernels::bench::load::hash_rows;
use kernels::bench::{Bound, Row, Sizes, measure};
use kernels::cuda::emulator::device_under_test;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The files of `kernels/cuda` that have kernels, but those that no proof runs.
fn families() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let families = names.filter_map(|name| Some(name.strip_suffix(".cu")?.to_owned()));
    families.filter(|family| family != "field" && family != "rates").collect()
}

/// What they change in place is read and written, so it moves twice what it takes.
const IN_PLACE: [&str; 5] = ["add_eq", "add_at", "add_outer", "add_powers", "count_rows"];

#[test]
fn every_family_has_a_row_and_no_row_claims_more_than_was_there() {
    let Some(cuda) = device_under_test() else { return };
    let mut shown = Vec::new();
    let rows = measure(&cuda, Sizes::new(0), |row| shown.push(row.name));
    assert_eq!(rows.iter().map(|row| row.name).collect::<Vec<_>>(), shown);
    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len(), "two rows of one name");
    let launched = rows.iter().flat_map(|row| &row.kernels).map(|kernel| kernel.family.to_owned());
    assert_eq!(launched.collect::<BTreeSet<_>>(), families());
    // One layer by three kernels, which only a GPU can compare.
    for (name, kernel) in
        [("tensor cores", "tensor_2x2"), ("32-bit products", "einsum_narrow"), ("64-bit products", "einsum_wide")]
    {
        let row = rows.iter().find(|row| row.name == format!("einsum: {name}")).unwrap();
        assert!(row.kernels.iter().any(|launched| launched.name == kernel), "{row:?}");
    }
    for row in &rows {
        let Row { name, load, items, .. } = row;
        assert!(row.seconds > 0.0 && *items > 0 && load.bytes > 0, "{row:?}");
        assert!(row.kernels.iter().all(|kernel| kernel.used.launches > 0 && kernel.used.seconds > 0.0), "{row:?}");
        let times = if IN_PLACE.contains(name) { 2 } else { 1 };
        assert!(load.bytes <= times * row.peak_memory_bytes, "{row:?}");
    }
}

#[test]
fn rates_are_measured_and_floors_follow() {
    let Some(cuda) = device_under_test() else { return };
    let (rates, properties) = (cuda.rates(1 << 16), cuda.properties());
    for rate in [
        rates.copied_bytes,
        rates.multiply_adds,
        rates.multiplications,
        rates.additions,
        rates.compressions,
        rates.byte_products,
    ] {
        assert!(rate > 1e3 && rate.is_finite(), "{rates:?}");
    }
    assert_eq!(properties.name, cuda.name());
    assert!(properties.memory_bytes >= properties.free_bytes && properties.multiprocessors > 0, "{properties:?}");
    // Four compressions for each row.
    assert_eq!(rates.floor(&hash_rows(1000, 32)), (4000.0 / rates.compressions, Bound::Arithmetic));
}
