//! Trades on the tape and what the models make of them, against a count that
//! looks at everything anew for each trade.

use std::collections::BTreeMap;

use orrery_journal::event::{Body, IndexValue};
use orrery_journal::units::{Address, Price, Seq};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::*;
use crate::market::live_book::tests::row;
use crate::models::Model;
use crate::models::flow::DeltaSource;
use crate::models::parameters::Parameters;
use crate::partition::Makers;

/// Quarters of a currency unit.
type Quarters = i64;

#[derive(Clone, Debug)]
enum Act {
    Wait(i64),
    Night,
    Quote(usize, Quarters, Quarters),
    Trade { of: usize, price: Quarters, size: u64, code: Option<u32>, vendor: Option<i64> },
    Cancel(prop::sample::Index),
    CancelStranger(usize),
    Correct(prop::sample::Index, Option<Quarters>, Option<u64>, Option<u32>),
    Chain(i64),
    Spot(i64),
}

const CONTRACTS: usize = 6;

/// Calls and puts of the first day and of the next week; the last has no delta.
fn listing(of: usize) -> (String, bool, bool) {
    let (put, week) = (of % 2 == 1, of % 4 >= 2);
    let (date, right) = (if week { "251226" } else { "251219" }, if put { 'P' } else { 'C' });
    (format!("O:SPXW{date}{right}{:08}", (6000 + 5 * of) * 1000), put, !week)
}

fn delta(of: usize, generation: i64) -> Option<f64> {
    let size = 0.1 + 0.05 * of as f64 + 0.01 * generation as f64;
    (of + 1 < CONTRACTS).then_some(if listing(of).1 { -size } else { size })
}

fn act() -> impl Strategy<Value = Act> {
    let code =
        prop::option::weighted(0.4, prop::sample::select(vec![209, 227, 229, 231, 232, 204, 7]));
    let any = any::<prop::sample::Index>;
    prop_oneof![
        4 => (1..30i64).prop_map(|n| Act::Wait(n * SECOND / 10)),
        1 => Just(Act::Wait(1_000 * SECOND)),
        1 => Just(Act::Night),
        8 => (0..CONTRACTS, 0..6i64, 0..6i64).prop_map(|(c, b, a)| Act::Quote(c, b, a)),
        12 => (0..CONTRACTS, 1..7i64, 1..5u64, code.clone(), prop::option::of(0..6i64))
            .prop_map(|(of, price, size, code, vendor)| Act::Trade { of, price, size, code, vendor }),
        3 => any().prop_map(Act::Cancel),
        1 => (0..CONTRACTS).prop_map(Act::CancelStranger),
        3 => (any(), prop::option::of(1..7i64), prop::option::of(1..5u64), code)
            .prop_map(|(i, p, s, c)| Act::Correct(i, p, s, c)),
        2 => (0..9i64).prop_map(Act::Chain),
        2 => (5_990..6_030i64).prop_map(Act::Spot),
    ]
}

/// What happened, as a journal would have it.
#[derive(Clone, Debug)]
enum Fact {
    Quote {
        of: usize,
        bid: Quarters,
        ask: Quarters,
    },
    Trade {
        seq: Seq,
        of: usize,
        price: Quarters,
        size: u64,
        code: Option<u32>,
        vendor: Option<i64>,
    },
    Cancel {
        of: usize,
        price: Quarters,
        size: u64,
    },
    Correct {
        seq: Seq,
        price: Option<Quarters>,
        size: Option<u64>,
        code: Option<u32>,
    },
    Chain(i64),
    Spot(i64),
}

/// A fact with its time and day.
type Log = Vec<(i64, i32, Fact)>;

struct Tester {
    stage: Stage,
    log: Log,
}

impl Tester {
    fn new(makers: Makers) -> Tester {
        let mut parameters = Parameters::default();
        parameters.flow.delta = DeltaSource::Vendor;
        let mut tester =
            Tester { stage: Stage::with_parameters("SPX", makers, parameters), log: Log::new() };
        tester.run(&Act::Chain(0));
        tester
    }

    fn note(&mut self, fact: Fact) {
        let at = self.stage.now().0;
        self.log.push((at, self.stage.partition.day().0, fact));
    }

    fn trades(&self) -> Vec<(Seq, usize, Quarters, u64)> {
        let trade = |(_, _, fact): &(i64, i32, Fact)| match fact {
            Fact::Trade { seq, of, price, size, .. } => Some((*seq, *of, *price, *size)),
            _ => None,
        };
        self.log.iter().filter_map(trade).collect()
    }

    fn trade(&mut self, of: usize, at: Quarters, size: u64, codes: Vec<u32>, vendor: Option<i64>) {
        self.stage.conditions = codes;
        let trade =
            orrery_journal::event::Trade { price: quarters(at), size, ..Default::default() };
        self.stage.send_at(&listing(of).0, Body::Trade(trade), None, vendor);
        self.stage.conditions.clear();
    }

    fn run(&mut self, act: &Act) {
        match *act {
            Act::Wait(nanos) => self.stage.wait(nanos),
            Act::Night => self.stage.wait(20 * 3_600 * SECOND),
            Act::Quote(of, bid, ask) => {
                self.stage.quote(&listing(of).0, bid as f64 / 4.0, ask as f64 / 4.0);
                self.note(Fact::Quote { of, bid, ask });
            }
            Act::Trade { of, price, size, code, vendor } => {
                self.trade(of, price, size, code.into_iter().collect(), vendor);
                let seq = self.stage.seq();
                self.note(Fact::Trade { seq, of, price, size, code, vendor });
            }
            Act::Cancel(which) => {
                let trades = self.trades();
                if trades.is_empty() {
                    return;
                }
                let (_, of, price, size) = trades[which.index(trades.len())];
                self.trade(of, price, size, vec![209, 201], None);
                self.note(Fact::Cancel { of, price, size });
            }
            Act::CancelStranger(of) => self.trade(of, 99, 99, vec![201], None),
            Act::Correct(which, price, size, code) => {
                let trades = self.trades();
                if trades.is_empty() {
                    return;
                }
                let seq = trades[which.index(trades.len())].0;
                let right = json!({"price": price.map(|p| p as f64 / 4.0), "size": size,
                                   "conditions": code.map(|c| [c])});
                let nothing = price.is_none() && size.is_none() && code.is_none();
                let blob = if nothing { Vec::new() } else { right.to_string().into_bytes() };
                let body = Body::Correction { corrects: seq, blob: Address::of(&blob) };
                self.stage.send("", body, Some(&blob));
                self.note(Fact::Correct { seq, price, size, code });
            }
            Act::Chain(generation) => {
                let listed = |of| {
                    let ticker = listing(of).0;
                    let mut row = row(orrery_journal::units::InstrumentId::NONE, &ticker);
                    (row.gamma, row.open_interest) = (Some(0.01), Some(10.0));
                    (row.delta, row.implied_volatility) = (delta(of, generation), Some(0.2));
                    Listed { ticker, row }
                };
                self.stage.chain("I:SPX", None, &(0..CONTRACTS).map(listed).collect::<Vec<_>>());
                self.note(Fact::Chain(generation));
            }
            Act::Spot(value) => {
                let body = Body::IndexValue(IndexValue { value: price(value as f64) });
                self.stage.send("I:SPX", body, None);
                self.note(Fact::Spot(value));
            }
        }
    }

    /// One more trade, so that a body is due, in an epoch that is active.
    fn end(&mut self) {
        self.stage.wait(31 * SECOND);
        self.run(&Act::Trade { of: 0, price: 3, size: 1, code: None, vendor: None });
        self.stage.wait(3 * SECOND);
    }

    fn newest(&self, family: &str) -> Option<Value> {
        let last = self.stage.printed.iter().rev().find(|p| p.output.family == family)?;
        Some(serde_json::from_slice(&last.output.body).expect("JSON"))
    }
}

fn quarters(n: Quarters) -> Price {
    price(n as f64 / 4.0)
}

/// A trade of the session as the direct count has it.
#[derive(Clone, Debug)]
struct Counted {
    seq: Seq,
    of: usize,
    price: Quarters,
    size: u64,
    code: Option<u32>,
    late: bool,
    alive: bool,
    /// Position in the log, at which its evidence ends.
    at: usize,
}

fn class(code: Option<u32>) -> &'static str {
    match code {
        None | Some(209) => "regular",
        Some(227) => "auction",
        Some(229) => "cross",
        Some(231) => "floor",
        Some(232) => "multi_leg",
        Some(204) => "late",
        Some(_) => "unlisted",
    }
}

/// The trades of a session as they stand at the end of the log.
fn session(log: &Log, day: i32) -> Vec<Counted> {
    let mut all: Vec<Counted> = Vec::new();
    let mut newest: BTreeMap<usize, i64> = BTreeMap::new();
    for (at, (_, of_day, fact)) in log.iter().enumerate() {
        if *of_day != day {
            continue;
        }
        match fact {
            Fact::Trade { seq, of, price, size, code, vendor } => {
                let late = class(*code) == "late"
                    || vendor.zip(newest.get(of).copied()).is_some_and(|(new, held)| new < held);
                if let (Some(vendor), false) = (vendor, late) {
                    newest.insert(*of, *vendor);
                }
                let (seq, of, price, size, code) = (*seq, *of, *price, *size, *code);
                all.push(Counted { seq, of, price, size, code, late, alive: true, at });
            }
            Fact::Cancel { of, price, size } => {
                let same =
                    |t: &&mut Counted| t.alive && (t.of, t.price, t.size) == (*of, *price, *size);
                if let Some(trade) = all.iter_mut().rev().find(same) {
                    trade.alive = false;
                }
            }
            Fact::Correct { seq, price, size, code } => {
                let Some(trade) = all.iter_mut().find(|t| t.alive && t.seq == *seq) else {
                    continue;
                };
                if price.is_none() && size.is_none() && code.is_none() {
                    trade.alive = false;
                    continue;
                }
                trade.price = price.unwrap_or(trade.price);
                trade.size = size.unwrap_or(trade.size);
                if code.is_some() {
                    (trade.code, trade.late) = (*code, class(*code) == "late");
                }
            }
            _ => {}
        }
    }
    all
}

/// +1, -1 or 0 for unknown, straight from the log before the trade.
fn sign(log: &Log, day: i32, originals: &[Counted], trade: &Counted) -> i64 {
    if trade.late {
        return 0;
    }
    let now = log[trade.at].0;
    let quote = log[..trade.at].iter().rev().find_map(|(at, _, fact)| match fact {
        Fact::Quote { of, bid, ask } if *of == trade.of => Some((*at, *bid, *ask)),
        _ => None,
    });
    if let Some((at, bid, ask)) = quote
        && now - at <= 900 * SECOND
        && !(bid > 0 && ask > 0 && bid > ask)
    {
        let (buys, sells) = (ask > 0 && trade.price >= ask, bid > 0 && trade.price <= bid);
        if buys != sells {
            return if buys { 1 } else { -1 };
        }
        if !buys && bid > 0 && ask > 0 && 2 * trade.price != bid + ask {
            return if 2 * trade.price > bid + ask { 1 } else { -1 };
        }
    }
    // The regular trades before it, at the prices at which they came.
    let before: Vec<Quarters> = log[..trade.at]
        .iter()
        .enumerate()
        .filter_map(|(at, (_, of_day, fact))| match fact {
            Fact::Trade { of, price, code, .. } if *of == trade.of && *of_day == day => {
                let late = originals.iter().find(|t| t.at == at).is_some_and(|t| t.late);
                (class(*code) == "regular" && !late).then_some(*price)
            }
            _ => None,
        })
        .collect();
    let mut prices: Vec<Quarters> = before;
    prices.push(trade.price);
    let moves = prices.windows(2).rev().find(|pair| pair[0] != pair[1]);
    moves.map_or(0, |pair| if pair[1] > pair[0] { 1 } else { -1 })
}

#[derive(Default, Debug)]
struct Sum {
    trades: u64,
    contracts: u64,
    signed: u64,
    counted: u64,
    net: f64,
}

fn by_hand(log: &Log, day: i32, wanted: impl Fn(&'static str, usize) -> bool) -> Sum {
    // Whether a trade was late when it came does not change with corrections.
    let uncorrected: Log = log
        .iter()
        .map(|(at, d, f)| match f {
            Fact::Correct { .. } | Fact::Cancel { .. } => (*at, *d, Fact::Spot(0)),
            other => (*at, *d, other.clone()),
        })
        .collect();
    let originals = session(&uncorrected, day);
    let mut sum = Sum::default();
    for trade in session(log, day).iter().filter(|t| t.alive) {
        let class = if trade.late { "late" } else { class(trade.code) };
        if !wanted(class, trade.of) {
            continue;
        }
        sum.trades += 1;
        sum.contracts += trade.size;
        let sign = sign(log, day, &originals, trade);
        sum.signed += if sign == 0 { 0 } else { trade.size };
        let before = log[..trade.at].iter().rev();
        let generation = before.clone().find_map(|(_, _, f)| match f {
            Fact::Chain(generation) => Some(*generation),
            _ => None,
        });
        let spot = before.clone().find_map(|(_, _, f)| match f {
            Fact::Spot(spot) => Some(*spot),
            _ => None,
        });
        if let (Some(delta), Some(spot)) = (generation.and_then(|g| delta(trade.of, g)), spot)
            && sign != 0
        {
            sum.counted += trade.size;
            sum.net += sign as f64 * trade.size as f64 * delta * 100.0 * spot as f64;
        }
    }
    sum
}

fn check(group: &Value, sum: &Sum, name: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(group["trades"].as_u64(), Some(sum.trades), "{} {:?}", name, sum);
    prop_assert_eq!(group["contracts"]["total"].as_u64(), Some(sum.contracts), "{}", name);
    let unknown = sum.contracts - sum.signed;
    prop_assert_eq!(group["contracts"]["unknown"].as_u64(), Some(unknown), "{}", name);
    match group["net"].as_f64() {
        None => prop_assert_eq!(sum.counted, 0, "{}", name),
        Some(net) => {
            prop_assert!(sum.counted > 0, "{}", name);
            prop_assert!((net - sum.net).abs() < 1e-5, "{} {} {}", name, net, sum.net);
        }
    }
    Ok(())
}

fn without(family: &str, symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
    let mut models = crate::models::epoch_models(symbol, parameters);
    models.retain(|m| m.family() != family);
    models
}

const WITHOUT_FLOW: Makers = Makers {
    epoch: |symbol, parameters| without("flow", symbol, parameters),
    partition: crate::models::partition_models,
    views: crate::views::all,
};

/// The models that read the tape, and everything but the heatmap, which is slow
/// and has tests of its own.
const READERS: Makers =
    Makers { epoch: |symbol, parameters| without("heatmap", symbol, parameters), ..WITHOUT_FLOW };

/// Names only the first difference: bodies are long.
fn same(left: &[Printed], right: &[Printed]) -> Result<(), TestCaseError> {
    if let Some((left, right)) = left.iter().zip(right).find(|(left, right)| left != right) {
        prop_assert_eq!(left, right);
    }
    prop_assert_eq!(left.len(), right.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_running_sums_equal_a_count_from_the_beginning(
        acts in prop::collection::vec(act(), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut whole = Tester::new(READERS);
        let mut cut_in_two = Tester::new(READERS);
        let cut = cut.index(acts.len());
        let mut early = 0;
        for (i, act) in acts.iter().enumerate() {
            if i == cut {
                cut_in_two.stage.reborn();
                early = whole.stage.printed.len();
            }
            whole.run(act);
            cut_in_two.run(act);
        }
        let mut first = Tester::new(READERS);
        acts[..cut].iter().for_each(|act| first.run(act));
        // No lookahead: what was said by then is what is said without the rest.
        same(&first.stage.printed, &whole.stage.printed[..early])?;
        whole.end();
        cut_in_two.end();
        same(&whole.stage.printed, &cut_in_two.stage.printed)?;
        prop_assert!(whole.stage.saved() == cut_in_two.stage.saved());

        let body = whole.newest("flow").expect("a body");
        let day = whole.stage.partition.day().0;
        // 2025-12-19 and 2025-12-26.
        let zero_dte = |of: usize| day == if listing(of).2 { 20_441 } else { 20_448 };
        let groups: [(&str, &dyn Fn(usize) -> bool); 6] = [
            ("total", &|_| true),
            ("calls", &|of| !listing(of).1),
            ("puts", &|of| listing(of).1),
            ("zero_dte", &zero_dte),
            ("zero_dte_calls", &|of| zero_dte(of) && !listing(of).1),
            ("zero_dte_puts", &|of| zero_dte(of) && listing(of).1),
        ];
        for (name, within) in groups {
            let sum = by_hand(&whole.log, day, |class, of| class == "regular" && within(of));
            check(&body["flow"][name], &sum, name)?;
        }
        for name in ["auction", "cross", "floor", "multi_leg", "late", "unlisted"] {
            let sum = by_hand(&whole.log, day, |class, _| class == name);
            check(&body["apart"][name], &sum, name)?;
        }
        // What the books say of a contract is the same count.
        for of in 0..CONTRACTS {
            let sum = by_hand(&whole.log, day, |class, one| class == "regular" && one == of);
            let book = whole.stage.partition.active_book().expect("active");
            let at = book.topology.contracts.iter().position(|c| *c.ticker == *listing(of).0);
            let held = book.states[at.expect("listed")].inventory.unwrap_or_default();
            prop_assert_eq!(held.bought + held.sold, sum.signed);
            prop_assert_eq!(held.unknown, sum.contracts - sum.signed);
        }
    }

    #[test]
    fn the_other_models_do_not_know_of_the_flow(acts in prop::collection::vec(act(), 1..60)) {
        let mut all = Tester::new(Makers::default());
        let mut fewer = Tester::new(WITHOUT_FLOW);
        for tester in [&mut all, &mut fewer] {
            acts.iter().for_each(|act| tester.run(act));
            tester.end();
        }
        let told = all.stage.printed.len();
        all.stage.printed.retain(|p| p.output.family != "flow");
        prop_assert!(all.stage.printed.len() < told);
        same(&all.stage.printed, &fewer.stage.printed)?;
    }
}

#[test]
fn cancels_and_corrections_without_their_trade_are_counted() {
    let mut tester = Tester::new(Makers::default());
    tester.run(&Act::CancelStranger(0));
    assert_eq!(tester.stage.partition.counters().unmatched_cancels, 1);
    // A cancelled price is no last price.
    let book = tester.stage.partition.warming_book().expect("warming");
    assert!(book.states.iter().all(|s| s.last.is_none()));
    // What is about no trade of ours is somebody else's to read.
    tester.run(&Act::Trade { of: 0, price: 3, size: 1, code: None, vendor: None });
    for corrects in [Seq(1), tester.stage.seq()] {
        let blob = br#"{"price":"much"}"#;
        let body = Body::Correction { corrects, blob: Address::of(blob) };
        tester.stage.send("", body, Some(blob));
    }
    let counters = tester.stage.partition.counters();
    assert_eq!((counters.corrections, counters.unreadable_corrections), (2, 1));
}

#[test]
fn a_new_epoch_goes_on_with_the_session() {
    let mut tester = Tester::new(Makers::default());
    tester.run(&Act::Spot(6_000));
    tester.run(&Act::Quote(0, 1, 3));
    tester.run(&Act::Trade { of: 0, price: 3, size: 5, code: None, vendor: None });
    tester.stage.wait(31 * SECOND);
    // Other strikes are listed: another epoch, which warms beside the active one.
    let mut rows: Vec<Listed> = (0..8).map(|i| listed("SPXW", "251219", 6000 + 10 * i)).collect();
    rows.iter_mut().for_each(|l| l.row.delta = Some(0.2));
    tester.stage.chain("I:SPX", None, &rows);
    tester.run(&Act::Trade { of: 0, price: 3, size: 2, code: None, vendor: None });
    tester.stage.wait(2 * SECOND);
    let total = |tester: &Tester| tester.newest("flow").expect("a body")["flow"]["total"].clone();
    let (before, unit) = (total(&tester), 100.0 * 6_000.0);
    assert_eq!(before["contracts"]["bought"], 7);
    let near = |group: &Value, expected: f64| {
        let got = group["net"].as_f64().expect("a number");
        assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
    };
    near(&before, 7.0 * 0.1 * unit);
    tester.stage.wait(31 * SECOND);
    assert_eq!(tester.stage.partition.epochs().len(), 2);
    let after = total(&tester);
    assert_eq!(after["contracts"]["bought"], 7, "the sums go on");
    // The second trade came after the chain of the new epoch, with its delta.
    near(&after, 5.0 * 0.1 * unit + 2.0 * 0.2 * unit);
    let book = tester.stage.partition.active_book().expect("active");
    let traded: Vec<_> = book.states.iter().filter_map(|s| s.inventory).collect();
    assert_eq!(traded.iter().map(|i| i.bought).sum::<u64>(), 7);
}
