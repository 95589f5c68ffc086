//! Language models: a prompt, its answer and its proof; how much a model loses by being integers.

use std::{fs, path::Path};

use crate::common::{event, events, example, proofmill, text};

#[test]
fn an_answer_is_told_token_by_token_and_its_proof_says_what_it_is() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let run = proofmill(["run", "--json", "--store", "store", "--output", "out"])
        .arg(example("adder.yaml"))
        .current_dir(place.path())
        .output()
        .unwrap();
    let told = events(&run);
    let tokens: Vec<&str> =
        told.iter().filter(|e| e["event"] == "token").map(|e| e["text"].as_str().unwrap()).collect();
    assert_eq!(tokens, ["6", "2", ""]);
    assert_eq!(event(&told, "result")["outputs"][0]["text"], "62");

    let [proof, key, tokenizer] = ["out/proof.bin", "out/model.key", "out/model.tokenizer"].map(path);
    let verify = |tokenizer: Option<&Path>, json: bool| {
        let mut command = proofmill(["verify"]);
        command.arg(&proof).arg("--model").arg(&key);
        if let Some(tokenizer) = tokenizer {
            command.arg("--tokenizer").arg(tokenizer);
        }
        let output = command.args(json.then_some("--json")).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, with, _) = verify(Some(&tokenizer), false);
    assert!(code == Some(0) && with.contains("after the prompt (6 tokens)\n  27+35=\nanswers"), "{with}");
    let (code, without, _) = verify(None, false);
    assert!(code == Some(0) && without.contains("\n  6 2 12\n"), "{without}");
    let (_, json, _) = verify(Some(&tokenizer), true);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["inferences"][0]["generation"]["answer"],
        serde_json::json!({ "tokens": [6, 2, 12], "text": "62" })
    );

    // Another tokenizer would have the proof say something else.
    let other = path("other.tokenizer");
    let saved = fs::read_to_string(&tokenizer).unwrap();
    let swapped = saved.replace(r#"\"6\":6"#, r#"\"6\":7"#).replace(r#"\"7\":7"#, r#"\"7\":6"#);
    assert_ne!(saved, swapped);
    fs::write(&other, swapped).unwrap();
    let (code, said, error) = verify(Some(&other), false);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(error.contains("this is not the tokenizer that the model key names"), "{error}");
}

#[test]
fn several_prompts_are_answered_and_one_proof_says_all_answers() {
    let place = tempfile::tempdir().unwrap();
    let run = |json: bool| {
        let mut command = proofmill(["run", "--store", "store", "--output", "out"]);
        command.args(json.then_some("--json")).arg(example("batch.yaml")).current_dir(place.path()).output().unwrap()
    };
    let told = events(&run(true));
    let answer = |input: u64| -> String {
        let of = |event: &&serde_json::Value| event["event"] == "token" && event["input"] == input;
        told.iter().filter(of).map(|event| event["text"].as_str().unwrap()).collect()
    };
    assert_eq!([answer(0), answer(1), answer(2)], ["62", "107", "3"]);
    let outputs = event(&told, "result")["outputs"].as_array().unwrap();
    assert_eq!(outputs.iter().map(|output| output["input"].as_u64()).collect::<Vec<_>>(), [0, 1, 2].map(Some));
    let shown = text(&run(false).stdout);
    assert!(shown.contains("input 1\nanswer (4 tokens)\n  107\n"), "{shown}");
    let verify = |json: bool| {
        let mut command =
            proofmill(["verify", "out/proof.bin", "--model", "out/model.key", "--tokenizer", "out/model.tokenizer"]);
        text(&command.args(json.then_some("--json")).current_dir(place.path()).output().unwrap().stdout)
    };
    let said = verify(false);
    assert!(said.contains("input 2\nafter the prompt (4 tokens)\n  1+2=\nanswers"), "{said}");
    let json: serde_json::Value = serde_json::from_str(&verify(true)).unwrap();
    let inferences = json["inferences"].as_array().unwrap();
    let texts = inferences.iter().map(|inference| inference["generation"]["answer"]["text"].as_str().unwrap());
    assert_eq!(texts.collect::<Vec<_>>(), ["62", "107", "3"]);
}

#[test]
fn a_drawn_answer_is_told_and_verified_with_its_seed() {
    let place = tempfile::tempdir().unwrap();
    let manifest = fs::read_to_string(example("adder.yaml")).unwrap();
    let with = |name: &str, change: &dyn Fn(&str) -> String| {
        let folder = example("adder").display().to_string();
        let placed = manifest.replace("source: adder", &format!("source: {folder}"));
        fs::write(place.path().join(name), change(&placed.replace("- adder/", &format!("- {folder}/")))).unwrap();
        let mut command = proofmill(["run", "--json", "--store", "store", "--output", "out", name]);
        command.current_dir(place.path()).output().unwrap()
    };
    let sampled = |text: &str| text.replace("answer: 4", "answer: 4\n      sampling: true");
    let drawn = |text: &str| sampled(text).replace("  input:\n", "  input:\n    seed: 3\n    temperature: \"10\"\n");
    let told = events(&with("drawn.yaml", &drawn));
    let output = &event(&told, "result")["outputs"][0];
    assert_eq!(output["drawn"], serde_json::json!({ "seed": 3, "temperature": "10" }));
    let said = output["text"].as_str().unwrap();
    let tokens: String = told.iter().filter(|e| e["event"] == "token").map(|e| e["text"].as_str().unwrap()).collect();
    assert_eq!(tokens, said);
    let verify = |json: bool| {
        let mut command =
            proofmill(["verify", "out/proof.bin", "--model", "out/model.key", "--tokenizer", "out/model.tokenizer"]);
        let output = command.args(json.then_some("--json")).current_dir(place.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let told = verify(false);
    assert!(told.contains("tokens, each drawn with seed 3 at temperature 10)\n"), "{told}");
    let json: serde_json::Value = serde_json::from_str(&verify(true)).unwrap();
    assert_eq!(json["inferences"][0]["generation"]["sampling"], serde_json::json!({ "seed": 3, "temperature": "10" }));
    assert_eq!(json["inferences"][0]["generation"]["answer"]["text"], said);

    for (name, change, expected) in [
        (
            "unseeded.yaml",
            &sampled as &dyn Fn(&str) -> String,
            "spec: the model samples: set the input's seed, or its temperature to '0'",
        ),
        (
            "greedy.yaml",
            &|text: &str| drawn(text).replace("sampling: true", "sampling: false"),
            "spec: a seed is for a model that samples",
        ),
        (
            "hot.yaml",
            &|text: &str| drawn(text).replace("\"10\"", "\"10.5\""),
            "spec.input.temperature: must be at most 10",
        ),
        ("float.yaml", &|text: &str| drawn(text).replace("\"10\"", "0.5"), "spec.input.temperature: "),
    ] {
        let output = with(name, change);
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains(expected), "{message}\nwanted {expected}");
    }
}

#[test]
fn a_model_is_measured_on_a_text() {
    let place = tempfile::tempdir().unwrap();
    let model = example("adder");
    let chart = place.path().join("chart.svg");
    let output = proofmill(["eval", "--json", "--context", "9"])
        .arg(&model)
        .arg("--text")
        .arg(model.join("calibration.txt"))
        .arg("--chart")
        .arg(&chart)
        .output()
        .unwrap();
    let [measured] = &events(&output)[..] else { panic!() };
    assert_eq!((&measured["windows"], &measured["calibrationWindows"]), (&16.into(), &16.into()));
    let [float, integer] = ["float", "integer"].map(|kind| measured["perplexity"][kind].as_f64().unwrap());
    assert!(float > 1.0 && (integer / float - 1.0).abs() < 1e-3, "{float} {integer}");
    assert!(fs::read_to_string(&chart).unwrap().starts_with("<svg"));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let adder = example("adder");
    let without = place.path().join("without");
    fs::create_dir(&without).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(adder.join(name), without.join(name)).unwrap();
    }
    let sums = adder.join("calibration.txt");
    for (model, text_file, context, expected) in [
        (&adder, write("empty.txt", ""), "9", "empty.txt: the text is empty"),
        (&adder, write("words.txt", "one and one"), "9", "expected characters that the vocabulary has, found 'o'"),
        (&adder, write("short.txt", "1+1=2"), "9", "the text has 5 tokens; a window takes 9"),
        (
            &adder,
            write("few.txt", &"1+1=2".repeat(9)),
            "9",
            "calibration takes 16 windows of 9 tokens that are not measured",
        ),
        (&adder, sums.clone(), "10", "--context 10: this model takes 2 to 9 tokens"),
        (&adder, place.path().join("absent.txt"), "9", "cannot read"),
        (&without, sums.clone(), "9", "no tokenizer.json; give one with --tokenizer"),
        (&example("digits/digits.onnx"), sums.clone(), "9", "digits.onnx"),
    ] {
        let mut command = proofmill(["eval", "--context", context]);
        let output = command.arg(model).arg("--text").arg(text_file).output().unwrap();
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains(expected), "{message}\nwanted {expected}");
    }
}
