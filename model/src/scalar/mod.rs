//! Functions of one real variable: an expression tree, evaluated in floating point for calibration and in fixed point
//! ([`fixed`]) for the lookup tables that are part of the relation.

pub mod fixed;
pub mod table;

/// A function of one variable `x`.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// The variable.
    X,
    /// A constant.
    Constant(f64),
    /// Sum.
    Add(Box<Self>, Box<Self>),
    /// Product.
    Mul(Box<Self>, Box<Self>),
    /// The larger.
    Max(Box<Self>, Box<Self>),
    /// The smaller.
    Min(Box<Self>, Box<Self>),
    /// A primitive of an expression.
    Apply(Primitive, Box<Self>),
}

/// The transcendental functions, and the others that no ring operation gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    Exp,
    Ln,
    Sqrt,
    Reciprocal,
    Erf,
    Tanh,
    Sigmoid,
    Sin,
    Cos,
    Atan,
    /// To the nearest integer, halves to even.
    RoundHalfEven,
}

impl Expr {
    /// `p(x)`.
    pub fn of(primitive: Primitive) -> Self {
        Self::X.apply(primitive)
    }

    /// `p(self)`.
    pub fn apply(self, primitive: Primitive) -> Self {
        Self::Apply(primitive, Box::new(self))
    }

    /// `self + other`.
    pub fn plus(self, other: Self) -> Self {
        Self::Add(Box::new(self), Box::new(other))
    }

    /// `self * other`.
    pub fn times(self, other: Self) -> Self {
        match (self, other) {
            (Self::Constant(c), e) | (e, Self::Constant(c)) if c == 1.0 => e,
            (a, b) => Self::Mul(Box::new(a), Box::new(b)),
        }
    }

    /// `self * c`.
    pub fn scaled(self, c: f64) -> Self {
        self.times(Self::Constant(c))
    }

    /// `max(self, other)`.
    pub fn max(self, other: Self) -> Self {
        Self::Max(Box::new(self), Box::new(other))
    }

    /// `min(self, other)`.
    pub fn min(self, other: Self) -> Self {
        Self::Min(Box::new(self), Box::new(other))
    }

    /// `max(x, 0)`.
    pub fn relu() -> Self {
        Self::X.max(Self::Constant(0.0))
    }

    /// Whether the function is `max(x, 0)`.
    pub fn is_relu(&self) -> bool {
        *self == Self::relu()
    }

    /// Whether the tree applies a primitive or multiplies two functions of `x`: whether it takes a table.
    pub fn needs_table(&self) -> bool {
        match self {
            Self::X | Self::Constant(_) => false,
            Self::Apply(..) => true,
            Self::Mul(a, b) => a.needs_table() || b.needs_table() || (a.depends() && b.depends()),
            Self::Add(a, b) | Self::Max(a, b) | Self::Min(a, b) => a.needs_table() || b.needs_table(),
        }
    }

    fn depends(&self) -> bool {
        match self {
            Self::X => true,
            Self::Constant(_) => false,
            Self::Apply(_, a) => a.depends(),
            Self::Add(a, b) | Self::Mul(a, b) | Self::Max(a, b) | Self::Min(a, b) => a.depends() || b.depends(),
        }
    }

    /// The function of `inner(x)`.
    pub fn compose(&self, inner: &Self) -> Self {
        let pair = |a: &Self, b: &Self| (Box::new(a.compose(inner)), Box::new(b.compose(inner)));
        match self {
            Self::X => inner.clone(),
            Self::Constant(c) => Self::Constant(*c),
            Self::Apply(p, a) => a.compose(inner).apply(*p),
            Self::Add(a, b) => {
                let (a, b) = pair(a, b);
                Self::Add(a, b)
            }
            Self::Mul(a, b) => {
                let (a, b) = pair(a, b);
                Self::Mul(a, b)
            }
            Self::Max(a, b) => {
                let (a, b) = pair(a, b);
                Self::Max(a, b)
            }
            Self::Min(a, b) => {
                let (a, b) = pair(a, b);
                Self::Min(a, b)
            }
        }
    }

    /// Number of nodes of the tree.
    pub fn size(&self) -> usize {
        match self {
            Self::X | Self::Constant(_) => 1,
            Self::Apply(_, a) => 1 + a.size(),
            Self::Add(a, b) | Self::Mul(a, b) | Self::Max(a, b) | Self::Min(a, b) => 1 + a.size() + b.size(),
        }
    }

    /// The value in floating point, for calibration and reports only.
    pub fn eval(&self, x: f64) -> f64 {
        match self {
            Self::X => x,
            Self::Constant(c) => *c,
            Self::Add(a, b) => a.eval(x) + b.eval(x),
            Self::Mul(a, b) => a.eval(x) * b.eval(x),
            Self::Max(a, b) => a.eval(x).max(b.eval(x)),
            Self::Min(a, b) => a.eval(x).min(b.eval(x)),
            Self::Apply(p, a) => p.eval(a.eval(x)),
        }
    }
}

impl Primitive {
    fn eval(self, x: f64) -> f64 {
        match self {
            Self::Exp => x.exp(),
            Self::Ln => x.ln(),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Erf => erf(x),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Atan => x.atan(),
            Self::RoundHalfEven => x.round_ties_even(),
        }
    }
}

/// The error function, by the fixed-point code that makes the tables: the standard library has none.
fn erf(x: f64) -> f64 {
    if x.is_nan() { x } else { fixed::to_f64(fixed::erf(fixed::from_f64(x.clamp(-8.0, 8.0)))) }
}
