//! The compiled kernels, which `kernels/cuda/build.py` makes: for each module an image for each generation of GPUs, and PTX for later ones.

use miniz_oxide::inflate::decompress_to_vec_zlib;

/// One image of a module.
pub struct Image {
    /// The compute capability that it is for.
    pub capability: (i32, i32),
    /// Whether the driver has to compile it.
    pub is_ptx: bool,
    compressed: &'static [u8],
}

/// Compute capability of the oldest GPU that has kernels.
pub const OLDEST: (i32, i32) = (8, 0);

macro_rules! modules {
    ($($name:literal),*) => {
        /// The images of a module. The names are those of the sources.
        pub fn of_module(module: &str) -> [Image; 5] {
            match module {
                $($name => [
                    image!($name, "sm_80", (8, 0), false),
                    image!($name, "sm_90", (9, 0), false),
                    image!($name, "sm_100", (10, 0), false),
                    image!($name, "sm_120", (12, 0), false),
                    image!($name, "compute_80", (8, 0), true),
                ],)*
                _ => unreachable!("there is no module {module}"),
            }
        }

        /// All of them.
        #[cfg(test)]
        pub const MODULES: &[&str] = &[$($name),*];
    };
}

macro_rules! image {
    ($name:literal, $target:literal, $capability:expr, $is_ptx:literal) => {
        Image {
            capability: $capability,
            is_ptx: $is_ptx,
            compressed: include_bytes!(concat!("../../cuda/images/", $name, ".", $target, ".z")),
        }
    };
}

modules!(
    "affine",
    "contract",
    "einsum",
    "encode",
    "field",
    "fractions",
    "hash",
    "integers",
    "lookup",
    "product",
    "quadratic",
    "rates",
    "rows",
    "sums",
    "tensor",
    "weights"
);

impl Image {
    /// Machine code, or PTX that ends with a zero.
    pub fn bytes(&self) -> Vec<u8> {
        decompress_to_vec_zlib(self.compressed).expect("the build compresses what it commits")
    }
}

/// The image that a GPU runs: machine code of its generation (the major number), else PTX.
pub fn choose(images: impl IntoIterator<Item = Image>, capability: (i32, i32)) -> Option<Image> {
    let runs = |image: &Image| {
        let (has, needs) = (capability, image.capability);
        has >= needs && (image.is_ptx || has.0 == needs.0)
    };
    images.into_iter().filter(runs).max_by_key(|image| (!image.is_ptx, image.capability))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_has_an_image() {
        let chosen = |capability| choose(of_module("sums"), capability).map(|i| (i.capability, i.is_ptx));
        assert_eq!(chosen((7, 5)), None);
        assert_eq!(chosen((8, 0)), Some(((8, 0), false)));
        assert_eq!(chosen((8, 9)), Some(((8, 0), false)));
        assert_eq!(chosen((9, 0)), Some(((9, 0), false)));
        assert_eq!(chosen((10, 3)), Some(((10, 0), false)));
        assert_eq!(chosen((12, 1)), Some(((12, 0), false)));
        assert_eq!(chosen((11, 0)), Some(((8, 0), true)));
        assert_eq!(chosen((13, 0)), Some(((8, 0), true)));
    }

    #[test]
    fn images_are_machine_code_or_text() {
        for module in MODULES {
            for image in of_module(module) {
                let bytes = image.bytes();
                let looks = if image.is_ptx {
                    bytes.ends_with(b"\0") && bytes.windows(8).any(|w| w == b".version")
                } else {
                    bytes.starts_with(b"\x7fELF")
                };
                assert!(looks, "{module} for {:?}", image.capability);
            }
        }
    }
}
