//! The primitives that `bench` knows, and their sizes on the command line: `dense=64x768x3072`.

use std::{fmt, str::FromStr};

use anyhow::{Result, anyhow, bail, ensure};
use kernels::Device;
use prover::{
    Instance,
    argument::instance::{batched_einsum, dense_einsum, lookups, windows},
    commitment::instance::{Commit, Open},
};
use serde::{Deserialize, Serialize};

/// What a primitive is, apart from its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Commit,
    Open,
    OpenTwo,
    Dense,
    Attention,
    Lookup,
    View,
}

/// Name, the numbers that make a size, the size measured by default.
const KINDS: [(Kind, &str, &str, &[usize]); 7] = [
    (Kind::Commit, "commit", "VARIABLES", &[20]),
    (Kind::Open, "open", "VARIABLES", &[20]),
    (Kind::OpenTwo, "open-two", "VARIABLESxVARIABLES", &[20, 18]),
    (Kind::Dense, "dense", "ROWSxINNERxCOLUMNS", &[64, 768, 3072]),
    (Kind::Attention, "attention", "HEADSxTOKENSxWIDTH", &[12, 512, 64]),
    (Kind::Lookup, "lookup", "COUNTxTABLE_BITS", &[196_608, 12]),
    (Kind::View, "view", "CHANNELSxSIDE", &[64, 56]),
];

/// Most items of a primitive: beyond, no machine of today holds them.
const MAX_ITEMS: usize = 1 << 40;
/// Most elements of one of its tensors.
const MAX_ELEMENTS: usize = 1 << 30;

/// A primitive of a given size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Primitive {
    kind: Kind,
    size: Vec<usize>,
}

impl Primitive {
    /// One of each.
    pub fn all() -> Vec<Self> {
        KINDS.iter().map(|&(kind, .., size)| Self { kind, size: size.to_vec() }).collect()
    }

    /// What no prover of it avoids, in a line.
    pub const fn floor(&self) -> &'static str {
        match self.kind {
            Kind::Commit => "the transform's butterflies on the message; BLAKE3 of codeword and tree",
            Kind::Open | Kind::OpenTwo => "every cell times one element of the extension field (3 multiplications)",
            Kind::Dense | Kind::Attention => {
                "every element read times one element of the extension field (3 multiplications)"
            }
            Kind::Lookup => "adding up one fraction for each limb and each table row (18 multiplications each)",
            Kind::View => "every element read times one element of the extension field (3 multiplications)",
        }
    }

    /// Whether it has a verifier's side.
    pub fn is_verified(&self) -> bool {
        self.kind != Kind::Commit
    }

    /// Makes an instance for a device.
    pub fn instance<D: Device + 'static>(&self, device: &D, security_bits: u32) -> Result<Box<dyn Instance<D>>> {
        Ok(match (self.kind, self.size.as_slice()) {
            (Kind::Commit, &[variables]) => Box::new(Commit::new(variables)),
            (Kind::Open | Kind::OpenTwo, variables) => Box::new(Open::new(device, variables, security_bits)?),
            (Kind::Dense, &[rows, inner, columns]) => Box::new(dense_einsum(rows, inner, columns)),
            (Kind::Attention, &[heads, tokens, width]) => Box::new(batched_einsum(heads, tokens, width, tokens)),
            (Kind::Lookup, &[count, bits]) => Box::new(lookups(count, bits as u32)),
            (Kind::View, &[channels, side]) => Box::new(windows(channels, side)),
            _ => bail!("{self} has a size of another primitive"),
        })
    }

    fn check(&self) -> Result<()> {
        let product = |numbers: &[usize]| numbers.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let fits = |numbers: &[usize], most: usize| product(numbers).is_some_and(|product| product <= most);
        let size = self.size.as_slice();
        let holds = match (self.kind, size) {
            (Kind::Commit | Kind::Open, &[variables]) => (1..=28).contains(&variables),
            (Kind::OpenTwo, variables) => variables.iter().all(|n| (1..=28).contains(n)),
            (Kind::Dense, &[rows, inner, columns]) => {
                [[rows, inner], [inner, columns], [rows, columns]].iter().all(|t| fits(t, MAX_ELEMENTS))
            }
            (Kind::Attention, &[heads, tokens, width]) => {
                [[heads, tokens, width], [heads, tokens, tokens]].iter().all(|t| fits(t, MAX_ELEMENTS))
            }
            (Kind::Lookup, &[count, bits]) => count <= MAX_ELEMENTS && (1..=20).contains(&bits),
            (Kind::View, &[channels, side]) => fits(&[channels, side, side, 9], MAX_ELEMENTS),
            _ => false,
        };
        ensure!(holds && !size.contains(&0) && fits(size, MAX_ITEMS), "the size of {self} is out of range");
        Ok(())
    }
}

impl FromStr for Primitive {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, size) = text.split_once('=').map_or((text, None), |(name, size)| (name, Some(size)));
        let &(kind, _, form, default) = KINDS.iter().find(|kind| kind.1 == name).ok_or_else(|| {
            let names: Vec<String> = KINDS.iter().map(|(_, name, form, _)| format!("{name}[={form}]")).collect();
            anyhow!("there is no primitive '{name}'; there are {}", names.join(", "))
        })?;
        let numbers = size.map(|size| size.split('x').map(str::parse).collect::<Result<Vec<usize>, _>>());
        let size = match numbers {
            None => default.to_vec(),
            Some(Ok(numbers)) if numbers.len() == default.len() => numbers,
            Some(_) => bail!("a size of '{name}' is {form}"),
        };
        let primitive = Self { kind, size };
        primitive.check()?;
        Ok(primitive)
    }
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = KINDS.iter().find(|kind| kind.0 == self.kind).map_or("", |kind| kind.1);
        let size: Vec<String> = self.size.iter().map(usize::to_string).collect();
        write!(f, "{name}={}", size.join("x"))
    }
}

impl TryFrom<String> for Primitive {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Primitive> for String {
    fn from(primitive: Primitive) -> Self {
        primitive.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Primitive;

    #[test]
    fn a_primitive_reads_as_it_is_written() {
        for primitive in Primitive::all() {
            assert_eq!(primitive.to_string().parse::<Primitive>().unwrap(), primitive);
        }
        assert_eq!("dense".parse::<Primitive>().unwrap().to_string(), "dense=64x768x3072");
        assert_eq!("lookup=5x1".parse::<Primitive>().unwrap().to_string(), "lookup=5x1");
    }

    #[test]
    fn other_words_and_sizes_are_refused_with_what_there_is() {
        let refused = |text: &str| text.parse::<Primitive>().unwrap_err().to_string();
        assert!(refused("sum").contains("dense[=ROWSxINNERxCOLUMNS]"));
        assert_eq!(refused("dense=3x4"), "a size of 'dense' is ROWSxINNERxCOLUMNS");
        assert_eq!(refused("view=-1x2"), "a size of 'view' is CHANNELSxSIDE");
        for text in
            ["commit=0", "commit=29", "lookup=9x21", "lookup=0x4", "dense=1x0x1", "attention=1x4294967296x4294967296"]
        {
            assert!(refused(text).ends_with("is out of range"), "{text}");
        }
    }
}
