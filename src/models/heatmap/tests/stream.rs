//! Random sessions: only what is dirty is priced again, yet the body is that of
//! a model that starts over; a checkpoint anywhere is invisible.

use proptest::prelude::*;

use super::*;

/// A step of a random session.
#[derive(Clone, Debug)]
enum Step {
    Quote(usize, Option<f64>, Option<f64>),
    Trade(usize, f64),
    /// A chain states volatilities anew.
    Chain(f64),
    Spot(f64),
    Wait(i64),
    Days(i64),
    All,
    Emit,
}

fn step() -> impl Strategy<Value = Step> {
    let price = prop_oneof![
        1 => Just(None),
        1 => Just(Some(0.0)),
        6 => (1u32..400).prop_map(|cents| Some(f64::from(cents) / 20.0)),
    ];
    prop_oneof![
        8 => (0usize..22, price.clone(), price).prop_map(|(slot, b, a)| Step::Quote(slot, b, a)),
        1 => (0usize..22, 0.1..20.0).prop_map(|(slot, last)| Step::Trade(slot, last)),
        1 => (0.05..0.9).prop_map(Step::Chain),
        2 => (90.0..110.0).prop_map(Step::Spot),
        1 => (0i64..8_000).prop_map(Step::Wait),
        1 => (0i64..2).prop_map(Step::Days),
        1 => Just(Step::All),
        3 => Just(Step::Emit),
    ]
}

/// The market of a random session: two expiries, and a contract that is a leg
/// of no tile.
struct Session {
    book: Book,
    spot: f64,
    now: i64,
}

impl Session {
    fn new() -> Session {
        let near = five_strikes();
        let mut contracts = near.topology.contracts.clone();
        contracts.extend(STRIKES.iter().flat_map(|k| [contract("C", *k, 5), contract("P", *k, 5)]));
        contracts.extend([contract("C", 500.0, 3), contract("C", 100.0, 40)]);
        let mut states = [near.states.clone(), near.states].concat();
        states.extend([ContractState::default(); 2]);
        states.iter_mut().step_by(3).for_each(|s| s.implied_volatility = Some(0.3));
        Session { book: book(contracts, states), spot: 100.0, now: DAY_NS }
    }

    fn market(&self) -> Market<'_> {
        market(Some(&self.book), Some(self.spot), RecvTime(self.now))
    }

    /// What the book does; the change that models are told.
    fn take(&mut self, step: &Step) -> Option<Change<'static>> {
        self.now += NANOS_PER_SECOND / 10;
        let quoted_at = Some(RecvTime(self.now));
        match *step {
            Step::Quote(slot, bid, ask) => {
                let held = self.book.states[slot];
                self.book.states[slot] = ContractState { bid, ask, quoted_at, ..held };
                Some(Change::Quote(slot))
            }
            Step::Trade(slot, last) => {
                self.book.states[slot].last = Some(last);
                Some(Change::Trade(slot))
            }
            Step::Chain(volatility) => {
                let states = self.book.states.iter_mut().step_by(2);
                states.for_each(|s| s.implied_volatility = Some(volatility));
                Some(Change::Chain)
            }
            Step::Spot(value) => {
                self.spot = value;
                Some(Change::Spot)
            }
            Step::Wait(millis) => {
                self.now += millis * 1_000_000;
                None
            }
            Step::Days(days) => {
                self.now += days * DAY_NS;
                None
            }
            Step::All => Some(Change::All),
            Step::Emit => None,
        }
    }
}

fn models() -> Vec<Heatmap> {
    let pricing = Pricing { rate: 0.04, carry: 0.01, ..Pricing::default() };
    let parameters = Parameters { strikes_each_side: 1, pricing, ..Parameters::default() };
    Chosen::all()
        .map(|profile| Heatmap::new(&Parameters { profile, ..parameters.clone() }))
        .collect()
}

fn reborn(model: &Heatmap, market: &Market<'_>) -> Heatmap {
    let mut saved = Vec::new();
    model.save(&mut saved);
    let mut fresh = Heatmap::new(&model.parameters);
    fresh.restore(&saved, market).expect("its own state");
    let mut again = Vec::new();
    fresh.save(&mut again);
    assert_eq!(saved, again, "saving, restoring and saving again changes nothing");
    fresh
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn incremental_is_full(steps in prop::collection::vec(step(), 1..80)) {
        let mut session = Session::new();
        let mut models = models();
        for model in &mut models {
            model.apply(&Change::Chain, &session.market());
        }
        for step in steps {
            let change = session.take(&step);
            let market = session.market();
            for model in &mut models {
                if let Some(change) = &change {
                    model.apply(change, &market);
                }
                if !matches!(step, Step::Emit) {
                    continue;
                }
                let mut fresh = reborn(model, &market);
                let body = model.emit(&market).expect("a body");
                let expected = fresh.emit(&market).expect("a body");
                prop_assert_eq!(
                    String::from_utf8_lossy(&body),
                    String::from_utf8_lossy(&expected)
                );
            }
        }
    }

    /// Bodies are equal and become due at the same changes.
    #[test]
    fn a_checkpoint_anywhere_changes_nothing(
        steps in prop::collection::vec(step(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(steps.len());
        let mut session = Session::new();
        let (mut whole, mut halves) = (models(), models());
        for model in whole.iter_mut().chain(&mut halves) {
            model.apply(&Change::Chain, &session.market());
        }
        for (i, step) in steps.iter().enumerate() {
            if i == cut {
                let market = session.market();
                halves = halves.iter().map(|model| reborn(model, &market)).collect();
            }
            let change = session.take(step);
            let market = session.market();
            for (a, b) in whole.iter_mut().zip(&mut halves) {
                if let Some(change) = &change {
                    prop_assert_eq!(a.apply(change, &market), b.apply(change, &market));
                }
                if matches!(step, Step::Emit) {
                    prop_assert_eq!(a.emit(&market), b.emit(&market));
                }
            }
        }
        for (a, b) in whole.iter_mut().zip(&mut halves) {
            prop_assert_eq!(a.emit(&session.market()), b.emit(&session.market()));
        }
    }
}

/// After a restart a quote far from the lattice is as little news as before.
#[test]
fn a_restored_model_is_not_due_for_what_is_outside() {
    let session = Session::new();
    for mut model in models() {
        let market = session.market();
        model.apply(&Change::Chain, &market);
        model.emit(&market);
        let mut fresh = reborn(&model, &market);
        let outside = Change::Quote(21);
        assert_eq!(
            (model.apply(&outside, &market), fresh.apply(&outside, &market)),
            (false, false)
        );
    }
}

#[test]
fn damaged_states_are_refused() {
    let session = Session::new();
    let market = session.market();
    let mut model = Heatmap::default();
    model.apply(&Change::Chain, &market);
    let mut saved = Vec::new();
    model.save(&mut saved);
    for len in 0..saved.len() {
        assert!(Heatmap::default().restore(&saved[..len], &market).is_err(), "{len} bytes");
    }
    saved[0] = 1;
    assert!(Heatmap::default().restore(&saved, &market).is_err(), "another version");
}
