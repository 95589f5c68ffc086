//! Where artifacts, models and inputs are, as a worker in a pod sees them.

use crds::{Model, ProofJobSpec, Store, source::is_url};

use crate::settings::{STORE_DIRECTORY, WorkerSettings};

/// Where workers mount an inline input.
pub const INPUT_DIRECTORY: &str = "/etc/proofmill/input";
/// The file in it, and the key in its ConfigMap.
pub const INPUT_FILE: &str = "input.json";

/// Most bytes of an inline input: a ConfigMap holds one MiB.
const INPUT_MAX_BYTES: usize = 1 << 20;

/// The artifact store of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlace {
    /// Its URL.
    pub url: String,
    /// The claim that is mounted for it.
    pub claim: Option<String>,
    /// The Secret with its credentials.
    pub secret: Option<String>,
}

impl StorePlace {
    /// The store that a spec names, or the default one.
    ///
    /// # Errors
    /// If there is none, or none that other pods can read.
    pub fn resolve(store: Option<&Store>, settings: &WorkerSettings) -> Result<Self, String> {
        let volume = |claim: &str| {
            Ok(Self { url: format!("file://{STORE_DIRECTORY}"), claim: Some(claim.into()), secret: None })
        };
        match store {
            Some(Store { persistent_volume_claim: Some(claim), .. }) => volume(&claim.name),
            Some(Store { url: Some(url), secret_ref, .. }) => {
                if !is_url(url) || url.starts_with("file:") {
                    return Err(format!(
                        "spec.store.url: {url} is a place on one machine, and every stage may run on another: \
                         use s3:, gs: or az:, or spec.store.persistentVolumeClaim"
                    ));
                }
                Ok(Self {
                    url: url.clone(),
                    claim: None,
                    secret: secret_ref.as_ref().map(|secret| secret.name.clone()),
                })
            }
            _ => match (&settings.default_store_claim, &settings.default_store) {
                (Some(claim), _) => volume(claim),
                (None, Some(url)) => {
                    Ok(Self { url: url.clone(), claim: None, secret: settings.default_store_secret.clone() })
                }
                (None, None) => Err("spec.store: missing, and the operator has no default store".into()),
            },
        }
    }
}

/// The model with every path made a URL.
///
/// # Errors
/// If a path does not fit the base.
pub fn model(model: &Model, settings: &WorkerSettings) -> Result<Model, String> {
    Ok(Model {
        source: source(&model.source, settings).map_err(|error| format!("spec.model.source: {error}"))?,
        format: model.format,
        calibration: model
            .calibration
            .iter()
            .map(|sample| source(sample, settings).map_err(|error| format!("spec.model.calibration: {error}")))
            .collect::<Result<_, _>>()?,
        tokens: model.tokens,
    })
}

/// A job's input or inputs: where workers find them, and the file that has to be mounted for that.
///
/// # Errors
/// If there are none, if they are too large, or if a path does not fit the base.
pub fn input(spec: &ProofJobSpec, settings: &WorkerSettings) -> Result<(String, Option<String>), String> {
    if let Some(url) = spec.input.as_ref().and_then(|input| input.url.as_ref()) {
        return Ok((source(url, settings).map_err(|error| format!("spec.input.url: {error}"))?, None));
    }
    let file = spec.input_file().and_then(|file| String::from_utf8(file).ok()).ok_or("spec.input: missing")?;
    if file.len() > INPUT_MAX_BYTES {
        let field = if spec.inputs.is_empty() { "spec.input" } else { "spec.inputs" };
        return Err(format!(
            "{field}: {} bytes of JSON; at most {INPUT_MAX_BYTES} go inline: use spec.input.url",
            file.len()
        ));
    }
    Ok((format!("file://{INPUT_DIRECTORY}/{INPUT_FILE}"), Some(file)))
}

fn source(text: &str, settings: &WorkerSettings) -> Result<String, String> {
    if is_url(text) {
        return Ok(text.into());
    }
    let path = text.strip_prefix("file:").unwrap_or(text);
    let mut base = settings.source_base.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    base.join(path).map(String::from).map_err(|error| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use crds::InputSource;

    use super::*;
    use crate::settings::Settings;

    fn settings(more: &[&str]) -> WorkerSettings {
        let line = ["proofmill-operator", "--worker-image", "worker:1"].iter().chain(more);
        Settings::try_parse_from(line).unwrap().workers
    }

    #[test]
    fn paths_are_relative_to_the_base_and_urls_are_kept() {
        let at = |text, base: &[&str]| source(text, &settings(base)).unwrap();
        assert_eq!(at("digits/d.onnx", &[]), "file:///usr/share/proofmill/examples/digits/d.onnx");
        assert_eq!(at("file:d.onnx", &[]), "file:///usr/share/proofmill/examples/d.onnx");
        assert_eq!(at("d.onnx", &["--source-base", "s3://models/a"]), "s3://models/a/d.onnx");
        assert_eq!(at("https://example.org/d.onnx", &[]), "https://example.org/d.onnx");
    }

    #[test]
    fn a_store_is_the_jobs_own_or_the_default_one() {
        let place = |store: Option<&str>, more: &[&str]| {
            let store = store.map(|text| serde_json::from_str(text).unwrap());
            StorePlace::resolve(store.as_ref(), &settings(more))
        };
        let own = place(Some(r#"{"url": "s3://b", "secretRef": {"name": "keys"}}"#), &["--default-store", "gs://c"]);
        assert_eq!(own, Ok(StorePlace { url: "s3://b".into(), claim: None, secret: Some("keys".into()) }));
        let claim = place(Some(r#"{"persistentVolumeClaim": {"name": "disk"}}"#), &[]).unwrap();
        assert_eq!((claim.url.as_str(), claim.claim.as_deref()), ("file:///var/lib/proofmill/store", Some("disk")));
        assert_eq!(place(None, &["--default-store-claim", "disk"]), Ok(claim));
        let default = place(None, &["--default-store", "gs://c", "--default-store-secret", "keys"]).unwrap();
        assert_eq!((default.url.as_str(), default.secret.as_deref()), ("gs://c", Some("keys")));
        assert!(place(None, &[]).unwrap_err().contains("no default store"));
        assert!(place(Some(r#"{"url": "file:///tmp/store"}"#), &[]).unwrap_err().contains("a place on one machine"));
    }

    #[test]
    fn inline_values_become_a_file_unless_they_are_too_many() {
        let inline = |count| ProofJobSpec::new(Model::default(), InputSource::of(vec![vec![0.5; count]]));
        let (url, file) = input(&inline(2), &settings(&[])).unwrap();
        assert_eq!(url, "file:///etc/proofmill/input/input.json");
        assert_eq!(file.as_deref(), Some(r#"{"input_data":[[0.5,0.5]]}"#));
        assert!(input(&inline(1 << 19), &settings(&[])).unwrap_err().contains("use spec.input.url"));
        let spec = inline(1);
        let several =
            ProofJobSpec { inputs: spec.input.iter().chain(&spec.input).cloned().collect(), input: None, ..spec };
        let (_, file) = input(&several, &settings(&[])).unwrap();
        assert_eq!(file.as_deref(), Some(r#"{"inputs":[{"input_data":[[0.5]]},{"input_data":[[0.5]]}]}"#));
        assert!(input(&ProofJobSpec { inputs: vec![], ..several }, &settings(&[])).unwrap_err().contains("missing"));
    }
}
