//! A worker's pod: restricted, without access to the API, with what the job says about its stage.

use std::{collections::BTreeMap, ffi::OsString};

use crds::{Device, PodOverrides};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvFromSource, LocalObjectReference,
        PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, ResourceClaim, ResourceRequirements,
        SeccompProfile, SecretEnvSource, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{
    names,
    place::{INPUT_DIRECTORY, StorePlace},
    settings::{STORE_DIRECTORY, WorkerSettings},
};

/// User and group of the workers; also the group that owns their volumes.
const USER: i64 = 65532;

/// Where Kubernetes reads a container's termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Memory classes of a stage of which the job says nothing about memory.
const DEFAULT_LADDER: [&str; 3] = ["1Gi", "4Gi", "16Gi"];
/// Processor time that a worker is promised if the job says nothing. It may use more.
const DEFAULT_CPU: &str = "250m";
/// The extended resource of a GPU if the job names none.
const DEFAULT_GPU: &str = "nvidia.com/gpu";
/// How the extended resources of NVIDIA's GPUs, of parts of them and of shared ones begin.
const NVIDIA: &str = "nvidia.com/";

/// What a pod is made of, besides its command line.
#[derive(Clone, Debug)]
pub struct PodPlan<'a> {
    /// What the operator was told.
    pub settings: &'a WorkerSettings,
    /// What the job says about the stage.
    pub overrides: &'a PodOverrides,
    /// What the stage computes on.
    pub device: Device,
    /// Its store.
    pub store: &'a StorePlace,
    /// The ConfigMap with the input, if the stage reads one.
    pub input: Option<String>,
}

/// The memory limits of a stage, smallest first; `None` is whatever its resources say.
pub fn ladder(overrides: &PodOverrides) -> Vec<Option<String>> {
    let says_memory = overrides.resources.as_ref().is_some_and(|resources| {
        [&resources.limits, &resources.requests].into_iter().flatten().any(|amounts| amounts.contains_key("memory"))
    });
    if !overrides.memory_classes.is_empty() {
        overrides.memory_classes.iter().cloned().map(Some).collect()
    } else if says_memory {
        vec![None]
    } else {
        DEFAULT_LADDER.into_iter().map(|memory| Some(memory.into())).collect()
    }
}

/// The first class that holds so many bytes; the last if none does, and the first if what they hold cannot be read.
pub fn rung(ladder: &[Option<String>], bytes: u64) -> u32 {
    let holds = |memory: &Option<String>| match memory.as_deref().map(quantity) {
        Some(Some(most)) => most >= bytes as f64,
        Some(None) | None => true,
    };
    ladder.iter().position(holds).unwrap_or(ladder.len().saturating_sub(1)) as u32
}

/// A quantity of Kubernetes' as a number: decimal, with a binary or a decimal suffix, or an exponent.
fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1048576.0),
        ("Gi", 1073741824.0),
        ("Ti", 1099511627776.0),
        ("Pi", 1125899906842624.0),
        ("Ei", 1152921504606846976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    let (number, unit) = SUFFIXES.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0).map(|number| number * unit)
}

/// The pod of a worker with this command line, in a memory class.
pub(super) fn pod_spec(plan: &PodPlan<'_>, args: Vec<OsString>, class: u32) -> PodSpec {
    let PodPlan { settings, overrides, store, .. } = plan;
    let claims = &overrides.resource_claims;
    let (volumes, mounts) = volumes(plan);
    let resources = resources(plan, class);
    let container = Container {
        name: names::CONTAINER.into(),
        image: Some(image(plan, &resources)),
        image_pull_policy: settings.worker_image_pull_policy.clone(),
        // URLs, digests and numbers: what the API holds as text stays text.
        args: Some(args.iter().map(|argument| argument.to_string_lossy().into_owned()).collect()),
        env: (!overrides.env.is_empty()).then(|| overrides.env.clone()),
        env_from: store.secret.as_ref().map(|secret| {
            vec![EnvFromSource {
                secret_ref: Some(SecretEnvSource { name: secret.clone(), optional: Some(false) }),
                ..EnvFromSource::default()
            }]
        }),
        resources: Some(resources),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_path: Some(TERMINATION_LOG.into()),
        termination_message_policy: Some("File".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let some = |secrets: &[String]| {
        (!secrets.is_empty()).then(|| secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect())
    };
    PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        restart_policy: Some("Never".into()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(30),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: some(&settings.worker_image_pull_secrets),
        service_account_name: overrides
            .service_account_name
            .clone()
            .or_else(|| settings.worker_service_account.clone()),
        node_selector: (!overrides.node_selector.is_empty()).then(|| overrides.node_selector.clone()),
        tolerations: (!overrides.tolerations.is_empty()).then(|| overrides.tolerations.clone()),
        affinity: overrides.affinity.clone(),
        priority_class_name: overrides.priority_class_name.clone(),
        runtime_class_name: overrides.runtime_class_name.clone(),
        resource_claims: (!claims.is_empty()).then(|| claims.clone()),
        ..PodSpec::default()
    }
}

/// What the stage says, or else the operator's image for pods with such resources.
fn image(plan: &PodPlan<'_>, resources: &ResourceRequirements) -> String {
    let PodPlan { settings, overrides, .. } = plan;
    let gpu =
        settings.worker_gpu_image.as_ref().filter(|_| plan.device != Device::Cpu && has_gpu(overrides, resources));
    overrides.image.as_ref().or(gpu).unwrap_or(&settings.worker_image).clone()
}

/// Whether a container with these resources gets a GPU: by a claim, whatever it claims, or by an extended resource.
fn has_gpu(overrides: &PodOverrides, resources: &ResourceRequirements) -> bool {
    let is_gpu = |name: &String| name.starts_with(NVIDIA) || overrides.gpu_resource.as_ref() == Some(name);
    !overrides.resource_claims.is_empty() || resources.limits.iter().flat_map(BTreeMap::keys).any(is_gpu)
}

fn resources(plan: &PodPlan<'_>, class: u32) -> ResourceRequirements {
    let overrides = plan.overrides;
    let mut resources = overrides.resources.clone().unwrap_or_default();
    let claims = &overrides.resource_claims;
    if !claims.is_empty() {
        let used = claims.iter().map(|claim| ResourceClaim { name: claim.name.clone(), request: None });
        resources.claims = Some(used.collect());
    }
    let limits = resources.limits.get_or_insert_with(BTreeMap::new);
    let requests = resources.requests.get_or_insert_with(BTreeMap::new);
    let ladder = ladder(overrides);
    if let Some(Some(memory)) = ladder.get(class as usize).or(ladder.last()) {
        limits.insert("memory".into(), Quantity(memory.clone()));
        requests.insert("memory".into(), Quantity(memory.clone()));
    }
    if !limits.contains_key("cpu") {
        requests.entry("cpu".into()).or_insert_with(|| Quantity(DEFAULT_CPU.into()));
    }
    if plan.device == Device::Gpu && claims.is_empty() {
        let gpu = overrides.gpu_resource.as_deref().unwrap_or(DEFAULT_GPU);
        limits.entry(gpu.into()).or_insert_with(|| Quantity("1".into()));
    }
    resources
}

fn volumes(plan: &PodPlan<'_>) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes =
        vec![Volume { name: "tmp".into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }];
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("tmp", "/tmp", false)];
    if let Some(claim) = &plan.store.claim {
        volumes.push(Volume {
            name: "store".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                read_only: None,
            }),
            ..Volume::default()
        });
        mounts.push(mount("store", STORE_DIRECTORY, false));
    }
    if let Some(input) = &plan.input {
        volumes.push(Volume {
            name: "input".into(),
            config_map: Some(ConfigMapVolumeSource { name: input.clone(), ..ConfigMapVolumeSource::default() }),
            ..Volume::default()
        });
        mounts.push(mount("input", INPUT_DIRECTORY, true));
    }
    (volumes, mounts)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::settings::Settings;

    /// The image of a pod, by what the job says: of its device, and of the stage.
    #[test]
    fn pods_with_a_gpu_have_an_image_of_their_own() {
        let settings = |more: &[&str]| {
            let words = ["proofmill-operator", "--worker-image=cpu"];
            Settings::try_parse_from(words.iter().chain(more)).unwrap().workers
        };
        let (both, one) = (settings(&["--worker-gpu-image=gpu"]), settings(&[]));
        let limits = |name: &str| format!(r#"{{"resources": {{"limits": {{"{name}": "1"}}}}}}"#);
        let claims = r#"{"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]}"#;
        let named = r#"{"gpuResource": "example.com/gpu"}"#;
        let wanted = r#"{"gpuResource": "example.com/gpu", "resources": {"limits": {"example.com/gpu": "1"}}}"#;
        let (part, others) = (limits("nvidia.com/mig-1g.10gb"), limits("example.com/gpu"));
        let table = [
            (Device::Cpu, "{}", "cpu"),
            (Device::Cpu, claims, "cpu"),
            (Device::Cpu, &part, "cpu"),
            (Device::Auto, "{}", "cpu"),
            (Device::Auto, named, "cpu"),
            (Device::Auto, &others, "cpu"),
            (Device::Auto, &part, "gpu"),
            (Device::Auto, wanted, "gpu"),
            (Device::Auto, claims, "gpu"),
            (Device::Gpu, "{}", "gpu"),
            (Device::Gpu, named, "gpu"),
            (Device::Gpu, claims, "gpu"),
            (Device::Gpu, r#"{"image": "mine"}"#, "mine"),
            (Device::Cpu, r#"{"image": "mine"}"#, "mine"),
        ];
        for (device, stage, expected) in table {
            let overrides: PodOverrides = serde_json::from_str(stage).unwrap();
            let store = StorePlace { url: "s3://proofs".into(), secret: None, claim: None };
            let image = |settings| {
                let plan = PodPlan { settings, overrides: &overrides, device, store: &store, input: None };
                pod_spec(&plan, vec![], 0).containers[0].image.clone().unwrap()
            };
            assert_eq!(image(&both), expected, "{device:?} {stage}");
            let without = if expected == "gpu" { "cpu" } else { expected };
            assert_eq!(image(&one), without, "{device:?} {stage}, no image for GPUs");
        }
    }

    #[test]
    fn the_first_class_is_the_smallest_that_suffices() {
        let classes = |texts: &[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
        let ladder = classes(&["512Mi", "1G", "1.5Gi", "2e9"]);
        let bytes = [1u64 << 20, 512 << 20, (512 << 20) + 1, 1_000_000_001, 3 << 29, (3 << 29) + 1, 1 << 40];
        assert_eq!(bytes.map(|bytes| rung(&ladder, bytes)), [0, 0, 1, 2, 2, 3, 3]);
        assert_eq!(rung(&[None], 1 << 40), 0);
        assert_eq!(rung(&classes(&["what", "1Gi"]), 1 << 40), 0);
        assert_eq!(quantity("128974848"), Some(128_974_848.0));
        assert_eq!(quantity("129e6"), Some(129e6));
        assert_eq!(quantity("128974848000m"), Some(128_974_848.0));
    }
}
