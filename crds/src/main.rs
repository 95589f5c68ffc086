//! Prints the custom resource definition of [`proofmill_crds::ProofJob`].

use kube::CustomResourceExt;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", serde_saphyr::to_string(&proofmill_crds::ProofJob::crd())?);
    Ok(())
}
