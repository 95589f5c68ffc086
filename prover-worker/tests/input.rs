//! Inputs: JSON and pictures, good and bad.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use prover_worker::input::{Draw, Input, narrow, parse, parse_any};

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn json_lists_become_inputs() {
    assert_eq!(parse(br#"{"input_data": [[1, -2.5], []]}"#).unwrap(), [vec![1.0, -2.5], vec![]]);
    assert_eq!(parse(br#"{"input_data": [[0]], "output_data": [[3]]}"#).unwrap(), [[0.0]]);
}

#[test]
fn a_file_may_list_inputs() {
    let values = |value: f32| Input::Values(vec![vec![value]], Draw::default());
    let several = br#"{"inputs": [{"input_data": [[1]]}, {"input_data": [[2]]}]}"#;
    assert_eq!(parse_any(several).unwrap(), [values(1.0), values(2.0)]);
    assert_eq!(parse_any(br#"{"inputs": [{"input_data": [[3]]}]}"#).unwrap(), [values(3.0)]);
    assert_eq!(parse(br#"{"inputs": [{"input_data": [[3]]}]}"#).unwrap(), [[3.0]]);
    let most = |count: usize| format!(r#"{{"inputs": [{}]}}"#, vec![r#"{"prompt": "a"}"#; count].join(", "));
    assert_eq!(parse_any(most(1024).as_bytes()).unwrap().len(), 1024);
    for (json, expected) in [
        (most(0), "inputs has 0 entries: 1 to 1024"),
        (most(1025), "inputs has 1025 entries"),
        (r#"{"inputs": [{"prompt": "a"}, {"prompt": ""}]}"#.into(), "inputs[1]: the prompt is empty"),
        (r#"{"inputs": [{"inputs": []}]}"#.into(), "inputs[0]: neither"),
        (r#"{"inputs": [{"prompt": "a"}], "seed": 1}"#.into(), "unknown field `seed`"),
        (r#"{"inputs": {"prompt": "a"}}"#.into(), "neither"),
    ] {
        let message = parse_any(json.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}\nwanted {expected}");
    }
}

#[test]
fn pictures_become_planes_from_0_to_1() {
    let gray = GrayImage::from_raw(3, 1, vec![0, 51, 255]).unwrap();
    for format in [ImageFormat::Png, ImageFormat::Pnm] {
        assert_eq!(parse(&encoded(gray.clone(), format)).unwrap(), [[0.0, 0.2, 1.0]]);
    }
    let rgb = RgbImage::from_raw(2, 1, vec![255, 0, 51, 255, 0, 51]).unwrap();
    assert_eq!(parse(&encoded(rgb, ImageFormat::Png)).unwrap(), [[1.0, 1.0, 0.0, 0.0, 0.2, 0.2]]);
}

#[test]
fn what_is_no_input_is_refused() {
    let png = encoded(GrayImage::new(4, 4), ImageFormat::Png);
    let alpha = encoded(DynamicImage::new_rgba8(2, 2), ImageFormat::Png);
    let table: [(&[u8], &str); 10] = [
        (b"", "neither a PNG or PGM picture nor JSON"),
        (b"[1, 2]", "neither"),
        (br#"{"input": [[1]]}"#, "unknown field `input`"),
        (br#"{"input_data": [1]}"#, "neither"),
        (br#"{"inputs": [{"input_data": [[1]]}, {"input_data": [[1]]}]}"#, "one is needed here"),
        (br#"{"input_data": [["x"]]}"#, "neither"),
        (br#"{"input_data": [[0, 1e39]]}"#, "input_data[0][1] is 1"),
        (&png[..png.len() / 2], "the picture cannot be read"),
        (&alpha, "write it as gray or RGB"),
        (b"P5\n60000 60000\n255\n", "pixels; at most"),
    ];
    for (bytes, expected) in table {
        let message = parse(bytes).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}\nwanted {expected}");
    }
    assert!(narrow(&[vec![f64::NAN]]).is_err() && narrow(&[vec![f64::INFINITY]]).is_err());
}
