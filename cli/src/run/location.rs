//! From paths, as people write them in a manifest, to the URLs that workers read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use crds::{Format, ProofJobSpec, source::is_url};
use url::Url;

/// Makes every path in a spec a URL. Paths are relative to `base`, the manifest's directory.
pub fn resolve(spec: &mut ProofJobSpec, base: &Path) -> Result<()> {
    if let Some(model) = &mut spec.model {
        model.source = match model.format {
            Format::HuggingFace if !is_url(&model.source) || model.source.starts_with("file:") => {
                folder_url(&base.join(path_of(&model.source)))
            }
            Format::HuggingFace => Ok(model.source.clone()),
            Format::Onnx | Format::Gguf => source(base, &model.source),
        }
        .context("spec.model.source")?;
        for (position, sample) in model.calibration.iter_mut().enumerate() {
            *sample = source(base, sample).with_context(|| format!("spec.model.calibration[{position}]"))?;
        }
    }
    if let Some(url) = spec.input.as_mut().and_then(|input| input.url.as_mut()) {
        *url = source(base, url).context("spec.input.url")?;
    }
    let store = spec.store.as_mut().and_then(|store| store.url.as_mut());
    if let Some(url) = store.filter(|url| !is_url(url)) {
        *url = directory_url(&base.join(path_of(url))).context("spec.store.url")?;
    }
    Ok(())
}

/// The URL of a file that exists.
pub fn file_url(path: &Path) -> Result<String> {
    let path = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
    if !path.is_file() {
        bail!("{} is not a file", path.display());
    }
    Ok(Url::from_file_path(&path).map_err(|()| anyhow!("{} has no URL", path.display()))?.into())
}

/// The format and the URL of a model: a folder is Hugging Face's, a file what its name ends with says.
pub fn model_url(path: &Path) -> Result<(Format, String)> {
    if path.is_dir() {
        return Ok((Format::HuggingFace, folder_url(path)?));
    }
    let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    Ok((if is_gguf { Format::Gguf } else { Format::Onnx }, file_url(path)?))
}

/// The URL of a folder that exists.
fn folder_url(path: &Path) -> Result<String> {
    let path = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
    if !path.is_dir() {
        bail!("{} is not a folder", path.display());
    }
    directory_url(&path)
}

/// The URL of a directory, which need not exist.
pub fn directory_url(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).with_context(|| format!("{} is not a path", path.display()))?;
    Ok(Url::from_directory_path(&path).map_err(|()| anyhow!("{} has no URL", path.display()))?.into())
}

fn source(base: &Path, text: &str) -> Result<String> {
    match Url::parse(text) {
        Ok(url) if is_url(text) => match url.to_file_path() {
            Ok(path) if url.scheme() == "file" => file_url(&path),
            _ => Ok(text.into()),
        },
        _ => file_url(&base.join(path_of(text))),
    }
}

fn path_of(text: &str) -> PathBuf {
    text.strip_prefix("file:").unwrap_or(text).into()
}
