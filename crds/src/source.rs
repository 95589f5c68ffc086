//! Places of models and inputs, as people write them: a URL, or a path.

/// Whether a text is a URL, and not a path: it has a scheme, and is not `file:` with a relative path.
pub fn is_url(text: &str) -> bool {
    match text.split_once(':') {
        Some(("file", rest)) => rest.starts_with('/'),
        // A scheme of one letter would be a drive.
        Some((scheme, rest)) => scheme.len() > 1 && (rest.starts_with("//") || scheme == "artifact"),
        None => false,
    }
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
