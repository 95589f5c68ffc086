//! The device that a worker is told to compute on.

use crds::contract::Processor;
use prover_worker::Opened;

#[test]
fn devices_are_read_as_they_are_written() {
    for (text, processor) in [
        ("auto", Processor::Auto),
        ("cpu", Processor::Cpu),
        ("cuda:0", Processor::Cuda(0)),
        ("cuda:7", Processor::Cuda(7)),
    ] {
        assert_eq!(text.parse(), Ok(processor));
        assert_eq!(processor.to_string(), text);
    }
    assert_eq!("cuda".parse(), Ok(Processor::Cuda(0)));
    for text in ["", "gpu", "Cuda", "cuda:", "cuda:-1", "cuda:x", "cuda:99999"] {
        let error = text.parse::<Processor>().unwrap_err();
        assert!(error.contains("there are auto, cpu, cuda, and cuda:N"), "{error}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_with_the_reason_and_auto_does_without() {
    let error = Opened::new(Processor::Cuda(999)).unwrap_err().to_string();
    assert!(error.starts_with("there is no "), "{error}");
    assert_eq!(Opened::new(Processor::Cpu).unwrap().name(), "cpu");
    assert!(Opened::new(Processor::Auto).is_ok());
}
