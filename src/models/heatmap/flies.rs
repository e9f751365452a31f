//! The butterflies of a body as numbers: what a view would read there.

use std::sync::Arc;

/// A butterfly with the debits of its sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fly<'a> {
    /// Key of the tile.
    pub key: &'a str,
    /// Calendar days to expiry.
    pub dte: i32,
    /// Distance of the wings, points.
    pub width: f64,
    /// Centre, points.
    pub strike: f64,
    /// Root, where the tile names one.
    pub root: Option<&'a str>,
    /// Debit of the call side, where it is above zero.
    pub call: Option<f64>,
    /// Debit of the put side, where it is above zero.
    pub put: Option<f64>,
}

/// What never changes of a butterfly.
#[derive(Clone, Debug)]
struct Fixed {
    key: Box<str>,
    dte: i32,
    width: f64,
    strike: f64,
    root: Option<Box<str>>,
}

/// The butterflies of a body, in its order.
#[derive(Clone, Debug, Default)]
pub struct Flies {
    fixed: Arc<Vec<Fixed>>,
    /// Of calls and puts; not a number where there is none.
    debits: Vec<[f64; 2]>,
}

impl Flies {
    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = Fly<'_>> {
        let above = |debit: f64| (debit.is_finite() && debit > 0.0).then_some(debit);
        self.fixed.iter().zip(&self.debits).map(move |(fixed, [call, put])| Fly {
            key: &fixed.key,
            dte: fixed.dte,
            width: fixed.width,
            strike: fixed.strike,
            root: fixed.root.as_deref(),
            call: above(*call),
            put: above(*put),
        })
    }

    /// The same butterflies with other debits, in the same order.
    pub(super) fn with(&self, debits: impl Iterator<Item = [f64; 2]>) -> Flies {
        Flies { fixed: Arc::clone(&self.fixed), debits: debits.collect() }
    }
}

impl<'a> FromIterator<Fly<'a>> for Flies {
    fn from_iter<I: IntoIterator<Item = Fly<'a>>>(flies: I) -> Flies {
        let of = |fly: Fly<'a>| {
            let Fly { key, dte, width, strike, root, call, put } = fly;
            let fixed = Fixed { key: key.into(), dte, width, strike, root: root.map(Box::from) };
            (fixed, [call, put].map(|debit| debit.unwrap_or(f64::NAN)))
        };
        let (fixed, debits): (Vec<Fixed>, Vec<[f64; 2]>) = flies.into_iter().map(of).unzip();
        Flies { fixed: Arc::new(fixed), debits }
    }
}

impl PartialEq for Flies {
    fn eq(&self, other: &Flies) -> bool {
        self.iter().eq(other.iter())
    }
}
