//! From paths, as people write them in a manifest, to the URLs that workers read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use crds::ProofJobSpec;
use url::Url;

/// Makes every path in a spec a URL. Paths are relative to `base`, the manifest's directory.
pub fn resolve(spec: &mut ProofJobSpec, base: &Path) -> Result<()> {
    spec.model.source = source(base, &spec.model.source).context("spec.model.source")?;
    for (position, sample) in spec.model.calibration.iter_mut().enumerate() {
        *sample = source(base, sample).with_context(|| format!("spec.model.calibration[{position}]"))?;
    }
    if let Some(url) = &mut spec.input.url {
        *url = source(base, url).context("spec.input.url")?;
    }
    if let Some(store) = spec.store.as_mut().filter(|store| !is_url(store)) {
        *store = directory_url(&base.join(path_of(store))).context("spec.store")?;
    }
    Ok(())
}

/// Whether a text is a URL, and not a path: it has a scheme, and is not `file:` with a relative path.
pub fn is_url(text: &str) -> bool {
    match text.split_once(':') {
        Some(("file", rest)) => rest.starts_with('/'),
        // A scheme of one letter would be a drive.
        Some((scheme, rest)) => scheme.len() > 1 && (rest.starts_with("//") || scheme == "artifact"),
        None => false,
    }
}

/// The URL of a file that exists.
pub fn file_url(path: &Path) -> Result<String> {
    let path = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
    if !path.is_file() {
        bail!("{} is not a file", path.display());
    }
    Ok(Url::from_file_path(&path).map_err(|()| anyhow!("{} has no URL", path.display()))?.into())
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

#[cfg(test)]
mod tests {
    use super::is_url;

    #[test]
    fn paths_and_urls_are_told_apart() {
        for url in ["s3://bucket/key", "https://example.org/m.onnx", "file:///m.onnx", "file:/m.onnx", "artifact:00ff"]
        {
            assert!(is_url(url), "{url}");
        }
        for path in ["m.onnx", "/m.onnx", "../m.onnx", "file:m.onnx", "a:b/m.onnx", "C:/m.onnx", "dir:with/colon"] {
            assert!(!is_url(path), "{path}");
        }
    }
}
