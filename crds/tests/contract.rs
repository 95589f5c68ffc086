//! The contract survives the trip: command lines, result records and manifests.

use clap::Parser;
use proofmill_crds::{
    Digest, Drawn, Format, MemoryNeed, Output, Subgraphs, Temperature,
    contract::{
        AggregateArgs, ArtifactRef, ExecuteArgs, FailureKind, GpuUsage, KERNEL_FAMILIES, Outcome, Processor, ProveArgs,
        RECORD_MAX_BYTES, RecordError, ResultRecord, SetupArgs, StageArgs, Summary, Task, Usage, WorkerArgs,
    },
    memory_need, memory_needs,
};
use proptest::prelude::*;

fn digests() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn stages() -> impl Strategy<Value = StageArgs> {
    // A URL may look like an option; it must not be taken for one.
    let url = "-?[ -~]{1,30}";
    prop_oneof![
        (url, proptest::collection::vec(url, 0..3), any::<([u32; 2], bool)>(), 0u32..=1024, any::<u32>()).prop_map(
            |(source, calibration, ([sequence, answer], sampling), n, security_bits)| {
                let subgraphs = if n == 0 { Subgraphs::Auto } else { Subgraphs::Count(n) };
                let format = [Format::Onnx, Format::HuggingFace, Format::Gguf][n as usize % 3];
                StageArgs::Setup(SetupArgs {
                    source,
                    format,
                    calibration,
                    sequence,
                    answer,
                    sampling,
                    subgraphs,
                    security_bits,
                })
            }
        ),
        (digests(), url).prop_map(|(setup, input)| StageArgs::Execute(ExecuteArgs { setup, input })),
        (digests(), any::<u32>(), proptest::option::of(proptest::collection::vec(0u32..1024, 1..9))).prop_map(
            |(execution, subgraph, among)| {
                let among = among.map(|indexes| indexes.into_iter().collect());
                StageArgs::Prove(ProveArgs { execution, subgraph: Some(subgraph), among })
            }
        ),
        digests().prop_map(|execution| StageArgs::Aggregate(AggregateArgs { execution })),
    ]
}

fn tasks() -> impl Strategy<Value = Task> {
    prop_oneof![
        Just(Task::Setup {}),
        Just(Task::Execute {}),
        any::<u32>().prop_map(|subgraph| Task::Prove { subgraph }),
        Just(Task::Aggregate {})
    ]
}

fn gpus() -> impl Strategy<Value = GpuUsage> {
    let seconds = || (0u32..u32::MAX).prop_map(|microseconds| f64::from(microseconds) / 1e6);
    let counts = proptest::array::uniform5(0u64..1 << 50);
    (proptest::option::of(seconds()), proptest::collection::vec(seconds(), 0..32), counts).prop_map(
        |(seconds, kernels, [launches, waits, bytes_to_device, bytes_from_device, peak_memory_bytes])| {
            let kernels = kernels.into_iter().enumerate().map(|(i, seconds)| (format!("family{i}"), seconds)).collect();
            GpuUsage { seconds, kernels, launches, waits, bytes_to_device, bytes_from_device, peak_memory_bytes }
        },
    )
}

proptest! {
    #[test]
    fn a_command_line_is_parsed_as_it_was_rendered(
        stage in stages(),
        store in "[a-z]{1,4}://[ -~]{0,20}",
        device in prop_oneof![Just(Processor::Auto), Just(Processor::Cpu), any::<u16>().prop_map(Processor::Cuda)],
        record in proptest::option::of("[ -~]{1,20}"),
        until_stdin_closes: bool,
    ) {
        let args = WorkerArgs { store, device, record: record.map(Into::into), until_stdin_closes, stage };
        let line = std::iter::once("prover-worker".into()).chain(args.to_args());
        prop_assert_eq!(WorkerArgs::try_parse_from(line).unwrap(), args);
    }

    #[test]
    fn a_record_is_read_as_it_was_written(
        task in tasks(), digest in digests(), bytes: u64, reused: bool, ms in 0u32..1_000_000_000, gpu in proptest::option::of(gpus())
    ) {
        let seconds = f64::from(ms) / 1e3;
        let usage = Usage { seconds, cpu_seconds: seconds * 2.0, peak_memory_bytes: bytes, device: "cpu".into(), gpu, ..Usage::default() };
        let record = ResultRecord { task, outcome: Outcome::Done { artifact: ArtifactRef { digest, bytes }, reused, summary: Summary::Subgraph {} }, usage };
        prop_assert_eq!(ResultRecord::from_json(record.to_json().as_bytes()).unwrap(), record);
    }

    #[test]
    fn any_failure_fits(
        message in "\\PC*|[\u{0}-\u{1f}]{4000}", lost in proptest::option::of(tasks()), gpu in proptest::option::of(gpus())
    ) {
        let outcome = Outcome::Failed { kind: FailureKind::Deterministic, message, lost };
        let record = ResultRecord { task: Task::Setup {}, outcome, usage: Usage { gpu, ..Usage::default() } };
        let json = record.to_json();
        prop_assert!(json.len() <= RECORD_MAX_BYTES, "{}", json.len());
        prop_assert!(ResultRecord::from_json(json.as_bytes()).is_ok());
    }
}

#[test]
fn loose_records_are_refused() {
    let json = ResultRecord {
        task: Task::Prove { subgraph: 3 },
        outcome: Outcome::Done {
            artifact: ArtifactRef { digest: Digest([7; 32]), bytes: 5 },
            reused: false,
            summary: Summary::Subgraph {},
        },
        usage: Usage { seconds: 1.0, cpu_seconds: 1.0, peak_memory_bytes: 1, device: "cpu".into(), ..Usage::default() },
    }
    .to_json();
    assert!(ResultRecord::from_json(json.as_bytes()).is_ok());
    let malformed = |text: String| matches!(ResultRecord::from_json(text.as_bytes()), Err(RecordError::Malformed(_)));
    assert!(malformed(json[..json.len() - 1].into()));
    assert!(malformed(format!("{json}{json}")));
    assert!(malformed(json.replacen('{', "{\"extra\":1,", 1)));
    assert!(malformed(json.replace("0707", "070")));
    assert!(malformed(json.replace("0707", "07AB")));
    assert!(malformed(json.replace("\"subgraph\":3", "\"subgraph\":-3")));
    assert!(matches!(
        ResultRecord::from_json(json.replace("\"seconds\":1.0", "\"seconds\":-1.0").as_bytes()),
        Err(RecordError::OutOfRange("usage.seconds"))
    ));
    let long = format!("{json}{}", " ".repeat(RECORD_MAX_BYTES));
    assert!(matches!(ResultRecord::from_json(long.as_bytes()), Err(RecordError::TooLong(_))));
}

#[test]
fn what_no_gpu_does_is_refused_and_a_record_without_one_is_read() {
    let with = |gpu: Option<GpuUsage>| ResultRecord {
        task: Task::Prove { subgraph: 3 },
        outcome: Outcome::Done {
            artifact: ArtifactRef { digest: Digest([7; 32]), bytes: 5 },
            reused: false,
            summary: Summary::Subgraph {},
        },
        usage: Usage { gpu, ..Usage::default() },
    };
    assert!(!with(None).to_json().contains("gpu"));
    let refused = |gpu| {
        let read = ResultRecord::from_json(with(Some(gpu)).to_json().as_bytes());
        matches!(read, Err(RecordError::OutOfRange("usage.gpu") | RecordError::Malformed(_)))
    };
    assert!(!refused(GpuUsage::default()));
    let seconds = |seconds| GpuUsage { seconds: Some(seconds), ..GpuUsage::default() };
    let kernel = |seconds| GpuUsage { kernels: [("hash".into(), seconds)].into(), ..GpuUsage::default() };
    assert!(!refused(seconds(1.5)) && !refused(kernel(1.5)));
    for wrong in [-1.0, 1e10] {
        assert!(refused(seconds(wrong)) && refused(kernel(wrong)), "{wrong}");
    }
    // JSON has no infinity: the time of a kernel would be null.
    assert!(refused(kernel(f64::INFINITY)));
    assert!(refused(GpuUsage { bytes_to_device: u64::MAX, ..GpuUsage::default() }));
    assert!(refused(GpuUsage { launches: u64::MAX, ..GpuUsage::default() }));
    let families = (0..33).map(|i| (i.to_string(), 1.0)).collect();
    assert!(refused(GpuUsage { kernels: families, ..GpuUsage::default() }));
}

#[test]
fn every_family_of_kernels_is_known() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/cuda");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut families: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".cu")?.to_owned())).collect();
    families.sort();
    // Kernels for tests.
    families.retain(|family| family != "field");
    assert_eq!(families, KERNEL_FAMILIES, "add the family to crds/src/contract/gpu.rs");
}

#[test]
fn a_worker_without_a_store_or_a_stage_is_told_so() {
    let parse = |line: &str| WorkerArgs::try_parse_from(line.split(' ')).unwrap_err().to_string();
    assert!(parse("prover-worker prove --subgraph 1").contains("--execution"));
    assert!(parse("prover-worker prove --execution 12 --subgraph 1 --store file:///s").contains("64 lower-case"));
    assert!(parse("prover-worker --store file:///s").contains("prover-worker"));
}

#[test]
fn a_position_is_resolved_among_the_subgraphs_of_a_job() {
    let args = |subgraph, among: Option<&str>| ProveArgs {
        execution: Digest([0; 32]),
        subgraph,
        among: among.map(|text| text.parse().unwrap()),
    };
    assert_eq!(args(Some(3), None).resolve(), Ok(3));
    assert_eq!(args(Some(3), Some("1-2,7,9")).resolve(), Ok(9));
    assert!(args(Some(4), Some("1-2,7,9")).resolve().unwrap_err().contains("the last position is 3"));
    assert!(args(None, None).resolve().unwrap_err().contains("JOB_COMPLETION_INDEX"));
}

#[test]
fn outputs_are_cut_until_a_record_fits() {
    let output = |n: usize| Output {
        input: None,
        name: "y".repeat(n),
        shape: vec![64],
        class: Some(1),
        values: vec![-1.0 / 3.0; 64],
        text: None,
        drawn: Some(Drawn { seed: i64::MAX, temperature: Temperature(999) }),
    };
    for (outputs, kept) in
        [(vec![output(1)], 1), (vec![output(1); 8], 8), (vec![output(2000); 8], 1), (vec![output(1); 32], 29)]
    {
        let artifact = ArtifactRef { digest: Digest([7; 32]), bytes: 5 };
        let outcome = Outcome::Done { artifact, reused: false, summary: Summary::Outputs(outputs.clone()) };
        let json = ResultRecord { task: Task::Execute {}, outcome, usage: Usage::default() }.to_json();
        assert!(json.len() <= RECORD_MAX_BYTES);
        let Outcome::Done { summary: Summary::Outputs(read), .. } =
            ResultRecord::from_json(json.as_bytes()).unwrap().outcome
        else {
            panic!("{json}")
        };
        assert_eq!(read.len(), kept);
        assert!(
            read.iter()
                .zip(&outputs)
                .all(|(read, whole)| whole.values.starts_with(&read.values) && read.name == whole.name)
        );
    }
}

#[test]
fn a_model_without_subgraphs_or_with_too_many_is_no_model() {
    let artifact = ArtifactRef { digest: Digest([7; 32]), bytes: 5 };
    let parsed = |subgraphs| {
        let summary =
            Summary::Model { subgraphs, commitment: Digest([1; 32]), key: artifact, tokenizer: None, memory: vec![] };
        let outcome = Outcome::Done { artifact, reused: false, summary };
        ResultRecord::from_json(
            ResultRecord { task: Task::Setup {}, outcome, usage: Usage::default() }.to_json().as_bytes(),
        )
    };
    assert!(parsed(1024).is_ok());
    for subgraphs in [0, 1025] {
        assert!(matches!(parsed(subgraphs), Err(RecordError::OutOfRange("summary.model.subgraphs"))));
    }
}

#[test]
fn the_memory_of_many_subgraphs_fits_and_lists_that_are_none_are_refused() {
    let artifact = ArtifactRef { digest: Digest([7; 32]), bytes: u64::MAX };
    let record = |memory: Vec<MemoryNeed>| {
        let (commitment, tokenizer) = (Digest([1; 32]), Some(artifact));
        let summary = Summary::Model { subgraphs: 1024, commitment, key: artifact, tokenizer, memory };
        let usage = Usage { device: "gpu".repeat(50), ..Usage::default() };
        let outcome = Outcome::Done { artifact, reused: false, summary };
        ResultRecord { task: Task::Setup {}, outcome, usage }.to_json()
    };
    // No two neighbours are of one size: nothing is shorter in intervals.
    let needs = memory_needs(&(0..1024).map(|i| (1 << (20 + i * 7 % 16), u64::MAX)).collect::<Vec<_>>());
    let json = record(needs);
    assert!(json.len() <= RECORD_MAX_BYTES, "{}", json.len());
    let Outcome::Done { summary: Summary::Model { memory, .. }, .. } =
        ResultRecord::from_json(json.as_bytes()).unwrap().outcome
    else {
        panic!("{json}")
    };
    assert!((0..1024).all(|i| memory_need(&memory, i, 1).unwrap() >= 1 << (20 + i * 7 % 16)));
    let need = |subgraphs: &str| MemoryNeed { mebibytes: 1, mebibytes_per_input: 1, subgraphs: subgraphs.into() };
    for lies in [vec![need("0-4294967295")], vec![need("0"); 17]] {
        let refused = ResultRecord::from_json(record(lies).as_bytes());
        assert!(matches!(refused, Err(RecordError::OutOfRange("summary.model.memory"))));
    }
}

#[test]
fn the_values_of_a_result_come_back_to_the_last_digit() {
    let values: Vec<f64> = (1..2000).map(|i| -f64::from(i) / 1003.0).chain([-1.995_178_878_307_342_5]).collect();
    let output = Output { name: "y".into(), shape: vec![values.len() as u64], values, ..Output::default() };
    let text = serde_json::to_string(&output).unwrap();
    assert_eq!(serde_json::from_str::<Output>(&text).unwrap(), output);
}
