//! What may happen to one request.

/// A fault of the connection or the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is refused with an internal error, and not carried out.
    Fail,
    /// The request is carried out, and the answer is lost.
    Drop,
    /// The request is carried out late, after whoever sent it may be gone.
    Delay,
}

impl Fault {
    pub const ALL: [Self; 3] = [Self::Fail, Self::Drop, Self::Delay];
}

/// A fault that befalls the `at`th request from now on, watches not counted.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub fault: Fault,
    pub at: usize,
}
