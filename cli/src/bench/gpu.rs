//! The kernels of a GPU, loop by loop, beside the least that the GPU can take for each: its rates are measured in the same run.

use anyhow::{Result, bail};
use kernels::{
    Cuda,
    bench::{Bound, Properties, Rates, Row, Sizes, measure},
};
use prover_worker::Opened;
use serde_json::{Value, json};

use super::machine::Machine;
use crate::{args::BenchArgs, format};

/// A row this much faster than its floor is no row to believe: a rate or a formula is wrong.
const BEYOND: f64 = 1.05;

/// Measures the kernels alone.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let Opened::Cuda(cuda) = Opened::new(args.device)? else {
        bail!("--kernels measures the kernels of a GPU: say --device cuda, or cuda:N for GPU number N");
    };
    let machine = Machine::measure_gpu(&cuda)?;
    let rows = measure_on(&cuda, &machine, args)?;
    if args.json {
        println!("{}", json!({ "machine": describe_machine(&machine), "kernels": describe(&rows, &machine.1) }));
    }
    Ok(())
}

/// Measures every loop; shows each as soon as it is, and then what to make of them, unless all is to be JSON.
pub fn measure_on(cuda: &Cuda, machine: &(Properties, Rates), args: &BenchArgs) -> Result<Vec<Row>> {
    let (properties, rates) = machine;
    let sizes = args.log_cells.map_or_else(|| Sizes::that_fit(properties.free_bytes), Sizes::new);
    if !args.json {
        print!("{}", head(properties, rates, sizes));
    }
    let show = |row: &Row| {
        if !args.json {
            print!("{}", line(row, rates));
        }
    };
    let rows = kernels::attempt(|| measure(cuda, sizes, show))?;
    if !args.json {
        print!("{}", verdict(&rows, rates));
    }
    Ok(rows)
}

/// `1.23 TB`: a number in its largest unit, of something.
fn scaled(value: f64, of: &str) -> String {
    const UNITS: [(f64, &str); 5] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (0.0, "")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| value >= *unit).unwrap_or_default();
    let number = if unit > 0.0 { format!("{:.2}", value / unit) } else { format!("{value:.0}") };
    format!("{number} {name}{of}").trim_end().to_owned()
}

/// The GPU, its rates, and what the columns are.
fn head(properties: &Properties, rates: &Rates, sizes: Sizes) -> String {
    let Properties { name, capability, driver, multiprocessors, memory_bytes, cache_bytes, .. } = properties;
    format!(
        "{name}: compute capability {capability}, {multiprocessors} multiprocessors, {} of memory, {} of cache, driver of CUDA {driver}\n\
         at best in a second: {} copied, {}, {}, {}, {}, {}; a launch takes {}\n\
         as in a model that commits to 2^{} cells at a time\n\n\
         {:<26}{:>10} {:<10}{:>11}{:>11} {:<16}{:>10}{:>10}{:>28}{:>10}  bound by\n",
        format::bytes(*memory_bytes),
        format::bytes(*cache_bytes),
        scaled(rates.copied_bytes, "B"),
        scaled(rates.multiply_adds, " multiply-adds"),
        scaled(rates.multiplications, " multiplications"),
        scaled(rates.additions, " additions"),
        scaled(rates.compressions, " compressions"),
        scaled(rates.byte_products, " byte products on tensor cores"),
        format::seconds(rates.launch_seconds),
        sizes.log_cells(),
        "kernels of",
        "items",
        "",
        "bytes",
        "operations",
        "",
        "time",
        "floor",
        "achieved",
        "of floor",
    )
}

/// A loop's line.
fn line(row: &Row, rates: &Rates) -> String {
    let (floor, bound) = rates.floor(&row.load);
    let hardest = rates.hardest(&row.load);
    let (operations, kind) = hardest.map_or_else(Default::default, |(kind, count)| (scaled(count as f64, ""), kind));
    let achieved = match (bound, hardest) {
        (Bound::Arithmetic, Some((kind, count))) => scaled(count as f64 / row.seconds, &format!(" {kind}/s")),
        _ => scaled(row.load.bytes as f64 / row.seconds, "B/s"),
    };
    format!(
        "{:<26}{:>10} {:<10}{:>11}{:>11} {kind:<16}{:>10}{:>10}{achieved:>28}{:>9.1}%  {}\n",
        row.name,
        scaled(row.items as f64, ""),
        row.unit,
        scaled(row.load.bytes as f64, "B"),
        operations,
        format::seconds(row.seconds),
        format::seconds(floor),
        100.0 * floor / row.seconds,
        name_of(bound),
    )
}

const fn name_of(bound: Bound) -> &'static str {
    match bound {
        Bound::Memory => "memory",
        Bound::Arithmetic => "arithmetic",
    }
}

/// The names of the rows of which this holds.
fn names(rows: &[Row], holds: impl Fn(&&Row) -> bool) -> Option<String> {
    let names: Vec<&str> = rows.iter().filter(holds).map(|row| row.name).collect();
    (!names.is_empty()).then(|| names.join("; "))
}

/// Whether a row reaches its target, if it has one.
fn reaches(row: &Row, rates: &Rates) -> Option<bool> {
    row.target(rates).map(|target| rates.floor(&row.load).0 / row.seconds >= target)
}

/// Which rows miss their targets, and which are not to be believed.
fn verdict(rows: &[Row], rates: &Rates) -> String {
    let mut text = "\nTime is that of the kernels, by events around each, at best. The floor is the bytes that have to be moved at the rate of\n\
         a copy, or the operations at their rates, whichever takes longer.\n"
        .to_owned();
    text += "Targets: 70 % of the floor where memory bounds it, 60 % of the arithmetic of transforms and hashing; others have none.\n";
    if let Some(names) = names(rows, |row| row.is_short(rates)) {
        text += &format!("Too short for a target beside a launch (a larger --log-cells makes them longer): {names}\n");
    }
    match names(rows, |row| reaches(row, rates) == Some(false)) {
        None => text += "No kernel misses its target.\n",
        Some(names) => text += &format!("Below their targets: {names}\n"),
    }
    if let Some(names) = names(rows, |row| rates.floor(&row.load).0 > BEYOND * row.seconds) {
        text += &format!("Faster than their floors, so a rate or a formula is wrong: {names}\n");
    }
    text
}

/// The GPU as JSON.
fn describe_machine(machine: &(Properties, Rates)) -> Value {
    Machine::Gpu(Box::new(machine.clone())).describe()
}

/// The rows as JSON.
pub fn describe(rows: &[Row], rates: &Rates) -> Value {
    let describe = |row: &Row| {
        let (floor, bound) = rates.floor(&row.load);
        let kernels = row.kernels.iter().map(|kernel| {
            json!({
                "family": kernel.family,
                "name": kernel.name,
                "launches": kernel.used.launches,
                "seconds": kernel.used.seconds,
            })
        });
        json!({
            "name": row.name,
            "items": row.items,
            "unit": row.unit,
            "bytes": row.load.bytes,
            "multiplyAdds": row.load.multiply_adds,
            "multiplications": row.load.multiplications,
            "additions": row.load.additions,
            "compressions": row.load.compressions,
            "byteProducts": row.load.byte_products,
            "seconds": row.seconds,
            "floorSeconds": floor,
            "partOfFloor": floor / row.seconds,
            "boundBy": name_of(bound),
            "bytesPerSecond": row.load.bytes as f64 / row.seconds,
            "target": row.target(rates),
            "reachesTarget": reaches(row, rates),
            "peakMemoryBytes": row.peak_memory_bytes,
            "kernels": kernels.collect::<Vec<_>>(),
        })
    };
    rows.iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use kernels::bench::load::Load;

    use super::*;

    const RATES: Rates = Rates {
        copied_bytes: 1e9,
        multiply_adds: 1e9,
        multiplications: 1e8,
        additions: 1e9,
        compressions: 1e6,
        byte_products: 1e10,
        launch_seconds: 2e-4,
    };

    fn row(name: &'static str, load: Load, seconds: f64) -> Row {
        Row { name, unit: "words", items: 5000, load, seconds, kernels: Vec::new(), peak_memory_bytes: 0 }
    }

    #[test]
    fn rows_that_miss_their_target_are_named_and_so_are_those_that_cannot_be() {
        let moved = Load { bytes: 1_000_000, ..Load::default() };
        let hashed = Load { compressions: 1000, ..Load::default() };
        let multiplied = Load { multiply_adds: 1_000_000, ..Load::default() };
        let rows = [
            row("good copy", moved, 1.3e-3),
            row("bad copy", moved, 1.5e-3),
            row("good hash", hashed, 1.6e-3),
            row("bad hash", hashed, 1.7e-3),
            row("no target", multiplied, 9e-3),
            row("impossible", moved, 0.9e-3),
            row("short", Load { bytes: 700_000, ..Load::default() }, 5e-3),
        ];
        let said = verdict(&rows, &RATES);
        assert!(said.contains("Below their targets: bad copy; bad hash\n"), "{said}");
        assert!(said.contains("makes them longer): short\n"), "{said}");
        assert!(said.ends_with("a rate or a formula is wrong: impossible\n"), "{said}");
        assert!(verdict(&rows[..1], &RATES).ends_with("No kernel misses its target.\n"));
        assert_eq!(reaches(&rows[4], &RATES), None);
    }

    #[test]
    fn a_line_says_what_was_achieved_of_what_bounds_it() {
        let of_memory = line(&row("a", Load { bytes: 2_000_000, ..Load::default() }, 4e-3), &RATES);
        assert!(of_memory.contains("500.00 MB/s") && of_memory.contains("50.0%  memory"), "{of_memory}");
        let load = Load { compressions: 1000, bytes: 10, ..Load::default() };
        let of_arithmetic = line(&row("a", load, 2e-3), &RATES);
        assert!(of_arithmetic.contains("500.00 k compressions/s"), "{of_arithmetic}");
        assert!(of_arithmetic.ends_with("50.0%  arithmetic\n"), "{of_arithmetic}");
    }
}
