//! Section 9, the proof file, taken apart.

use crate::error::Error;
use crate::graph::{Graph, Port};
use crate::sampling::{MAX_TEMPERATURE, Sampling};
use crate::transcript::Digest;

const MAGIC: &[u8; 8] = b"pm-prf\0\x04";
const PROTOCOL_VERSION: u32 = 7;

/// The public values of one inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inference {
    /// Inputs by port.
    pub inputs: Vec<Vec<i64>>,
    /// Outputs by port.
    pub outputs: Vec<Vec<i64>>,
    /// How a model that samples draws its choices; none if they are the most likely ones.
    pub sampling: Option<Sampling>,
}

/// A proof's parts.
#[derive(Clone, Debug)]
pub struct File<'a> {
    /// Commitment of the model that it claims to be about.
    pub model: Digest,
    /// What it says.
    pub inferences: Vec<Inference>,
    /// Commitment to the boundary tensors.
    pub boundary: Option<Digest>,
    /// One proof for each subgraph.
    pub subgraphs: Vec<&'a [u8]>,
    /// Opening of the boundary.
    pub opening: &'a [u8],
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(Error::File("it is too short"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::File("it is too short"))
    }

    fn flag(&mut self) -> Result<bool, Error> {
        match self.array()? {
            [0u8] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::File("a flag is neither 0 nor 1")),
        }
    }

    fn length(&mut self) -> Result<usize, Error> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| Error::File("it is too short"))
    }

    fn integers(&mut self) -> Result<Vec<i64>, Error> {
        (0..self.length()?).map(|_| Ok(i64::from_le_bytes(self.array()?))).collect()
    }

    fn ports(&mut self) -> Result<Vec<Vec<i64>>, Error> {
        (0..self.length()?).map(|_| self.integers()).collect()
    }

    fn inference(&mut self) -> Result<Inference, Error> {
        let (inputs, outputs) = (self.ports()?, self.ports()?);
        let sampling = if self.flag()? {
            let seed = u64::from_le_bytes(self.array()?);
            Some(Sampling { seed, temperature: u32::from_le_bytes(self.array()?) })
        } else {
            None
        };
        Ok(Inference { inputs, outputs, sampling })
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let n = self.length()?;
        self.take(n)
    }
}

impl<'a> File<'a> {
    /// Takes a proof apart.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let body = bytes.strip_prefix(MAGIC).ok_or(Error::File("it does not begin like one"))?;
        let mut cursor = Cursor(body);
        let model = cursor.array()?;
        let inferences = (0..cursor.length()?).map(|_| cursor.inference()).collect::<Result<_, _>>()?;
        let boundary = if cursor.flag()? { Some(cursor.array()?) } else { None };
        let subgraphs = (0..cursor.length()?).map(|_| cursor.bytes()).collect::<Result<_, _>>()?;
        let opening = cursor.bytes()?;
        if !cursor.0.is_empty() {
            return Err(Error::File("bytes follow its end"));
        }
        Ok(Self { model, inferences, boundary, subgraphs, opening })
    }

    /// Checks that the public values of every inference fit the model.
    pub fn check(&self, graph: &Graph) -> Result<(), Error> {
        self.inferences.iter().try_for_each(|inference| inference.check(graph))
    }

    /// The statement's digest.
    pub fn statement(&self, model: &Digest) -> Digest {
        let mut bytes = b"proofmill/statement".to_vec();
        bytes.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
        bytes.extend_from_slice(model);
        bytes.extend_from_slice(&(self.inferences.len() as u64).to_le_bytes());
        self.inferences.iter().for_each(|inference| inference.write(&mut bytes));
        *blake3::hash(&bytes).as_bytes()
    }
}

impl Inference {
    fn check(&self, graph: &Graph) -> Result<(), Error> {
        let (noise, given) = graph.noise_and_given();
        check_ports(graph, given, &self.inputs)?;
        check_ports(graph, &graph.outputs, &self.outputs)?;
        let fits = self.sampling.is_none_or(|s| noise.is_some() && (1..=MAX_TEMPERATURE).contains(&s.temperature));
        if fits {
            Ok(())
        } else {
            Err(Error::Statement("the model does not sample, or not at this temperature".into()))
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        for ports in [&self.inputs, &self.outputs] {
            bytes.extend_from_slice(&(ports.len() as u64).to_le_bytes());
            for values in ports {
                bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
                bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            }
        }
        match self.sampling {
            None => bytes.push(0),
            Some(Sampling { seed, temperature }) => {
                bytes.push(1);
                bytes.extend_from_slice(&seed.to_le_bytes());
                bytes.extend_from_slice(&temperature.to_le_bytes());
            }
        }
    }
}

fn check_ports(graph: &Graph, ports: &[Port], values: &[Vec<i64>]) -> Result<(), Error> {
    if ports.len() != values.len() {
        return Err(Error::Statement("it has another number of ports".into()));
    }
    for (port, values) in ports.iter().zip(values) {
        let tensor = graph.tensor(port.tensor)?;
        let fits = values.len() == tensor.shape.iter().product::<usize>()
            && values.iter().all(|x| (tensor.lo..=tensor.hi).contains(x));
        if !fits {
            return Err(Error::Statement(format!("values of '{}' have another shape or interval", tensor.name)));
        }
    }
    Ok(())
}
