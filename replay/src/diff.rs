//! What differs between two bodies, cell by cell.
//!
//! Bodies are JSON. Objects are compared by key, arrays of objects that have a
//! name of their own (a strike, an id) by that name, arrays of objects of several
//! kinds by kind and what tells one of a kind from another, other arrays by
//! place. Absent is not zero: a cell that one side lacks has no numeric change.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

/// Fields that name an element of an array, first match wins.
const NAMES: [&str; 8] = ["strike", "id", "key", "expiry", "bucket", "price", "symbol", "name"];
/// Fields that together name an element of a kind; those that are null or not
/// there are left out.
const OF_A_KIND: [&str; 5] = ["kind", "family", "expiry", "basis", "rank"];

/// Why bodies cannot be compared.
#[derive(Debug, thiserror::Error)]
#[error("the {side} body is no JSON")]
pub struct DiffError {
    /// `left` or `right`.
    pub side: &'static str,
    /// Why.
    #[source]
    pub source: serde_json::Error,
}

/// One cell that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct CellChange {
    /// Where: `/levels/call_wall`, `/by_strike/6540/net`; `~` and `/` inside a
    /// name are written `~0` and `~1` (RFC 6901).
    pub path: String,
    /// The left value; `None` where there is none.
    pub left: Option<Value>,
    /// The right value; `None` where there is none.
    pub right: Option<Value>,
    /// Right minus left, where both are numbers.
    pub absolute: Option<f64>,
    /// Absolute change over the left's magnitude, where that is not zero.
    pub relative: Option<f64>,
}

/// What differs between two bodies: numbers first, the biggest absolute change
/// at the top; then everything else, by path.
///
/// # Errors
/// When a body is no JSON.
pub fn diff_bodies(left: &[u8], right: &[u8]) -> Result<Vec<CellChange>, DiffError> {
    let parse = |bytes, side| {
        serde_json::from_slice::<Value>(bytes).map_err(|source| DiffError { side, source })
    };
    Ok(diff(&parse(left, "left")?, &parse(right, "right")?))
}

/// The same for values.
#[must_use]
pub fn diff(left: &Value, right: &Value) -> Vec<CellChange> {
    let mut changes = Vec::new();
    walk(&mut String::new(), Some(left), Some(right), &mut changes);
    let size = |c: &CellChange| c.absolute.map_or(-1.0, f64::abs);
    changes.sort_by(|a, b| {
        size(b).partial_cmp(&size(a)).unwrap_or(Ordering::Equal).then_with(|| a.path.cmp(&b.path))
    });
    changes
}

fn walk(
    path: &mut String,
    left: Option<&Value>,
    right: Option<&Value>,
    changes: &mut Vec<CellChange>,
) {
    if left == right {
        return;
    }
    match (children(left, right), children(right, left)) {
        (Some(lefts), Some(rights)) if compatible(left, right) => {
            let mut names: Vec<&Name> = lefts.keys().chain(rights.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let length = path.len();
                path.push('/');
                path.push_str(&name.text().replace('~', "~0").replace('/', "~1"));
                walk(path, lefts.get(name).copied(), rights.get(name).copied(), changes);
                path.truncate(length);
            }
        }
        _ => changes.push(cell(path.clone(), left, right)),
    }
}

/// Two containers of one kind, or one container and nothing: a missing branch
/// is told leaf by leaf.
fn compatible(left: Option<&Value>, right: Option<&Value>) -> bool {
    !matches!(
        (left, right),
        (Some(Value::Object(_)), Some(Value::Array(_)))
            | (Some(Value::Array(_)), Some(Value::Object(_)))
    )
}

/// A child's name: a place in an array sorts as a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Place(usize),
    Text(String),
}

impl Name {
    fn text(&self) -> String {
        match self {
            Name::Place(n) => n.to_string(),
            Name::Text(text) => text.clone(),
        }
    }
}

/// The children of a container, no children for nothing beside a container, or
/// `None` for a leaf.
fn children<'a>(
    value: Option<&'a Value>,
    other: Option<&'a Value>,
) -> Option<BTreeMap<Name, &'a Value>> {
    let named = |items: &'a [Value]| {
        let naming = Naming::of(items).filter(|naming| match other {
            Some(Value::Array(others)) => {
                others.is_empty() || Naming::of(others).as_ref() == Some(naming)
            }
            _ => true,
        })?;
        let names = naming.names(items)?.into_iter().map(Name::Text);
        let named: BTreeMap<Name, &Value> = names.zip(items).collect();
        (named.len() == items.len()).then_some(named)
    };
    match value {
        Some(Value::Object(map)) => (!map.is_empty() || other.is_some_and(Value::is_object))
            .then(|| map.iter().map(|(k, v)| (Name::Text(k.clone()), v)).collect()),
        Some(Value::Array(items)) => (!items.is_empty() || other.is_some_and(Value::is_array))
            .then(|| {
                named(items).unwrap_or_else(|| {
                    items.iter().enumerate().map(|(i, v)| (Name::Place(i), v)).collect()
                })
            }),
        Some(_) => None,
        None => other.filter(|o| o.is_object() || o.is_array()).map(|_| BTreeMap::new()),
    }
}

/// What the elements of an array are named by.
#[derive(PartialEq, Eq)]
enum Naming {
    /// A field that every element has, each with another value.
    Field(&'static str),
    /// [`OF_A_KIND`], and a number where that names several.
    Kind,
}

impl Naming {
    fn of(items: &[Value]) -> Option<Naming> {
        if items.is_empty() {
            return None;
        }
        if items.iter().all(|item| item.get("kind").is_some_and(Value::is_string)) {
            return Some(Naming::Kind);
        }
        let field = NAMES.into_iter().find(|field| {
            let mut names: Vec<String> =
                items.iter().filter_map(|i| scalar(i.get(field)?)).collect();
            names.sort_unstable();
            names.dedup();
            names.len() == items.len()
        });
        field.map(Naming::Field)
    }

    /// A name for each element, in order.
    fn names(&self, items: &[Value]) -> Option<Vec<String>> {
        if let Naming::Field(field) = self {
            return items.iter().map(|item| scalar(item.get(field)?)).collect();
        }
        let mut met: BTreeMap<String, u32> = BTreeMap::new();
        let name = |item: &Value| {
            let parts: Vec<String> =
                OF_A_KIND.iter().filter_map(|field| scalar(item.get(field)?)).collect();
            let name = parts.join(":");
            let met = met.entry(name.clone()).or_insert(0);
            *met += 1;
            if *met == 1 { name } else { format!("{name}#{met}") }
        };
        Some(items.iter().map(name).collect())
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        // 6540.0 and 6540 are one strike.
        Value::Number(n) => n.as_f64().map(|x| x.to_string()),
        _ => None,
    }
}

fn cell(path: String, left: Option<&Value>, right: Option<&Value>) -> CellChange {
    let numbers = left.and_then(Value::as_f64).zip(right.and_then(Value::as_f64));
    let absolute = numbers.map(|(l, r)| r - l);
    let relative = numbers
        .filter(|(l, _)| *l != 0.0)
        .map(|(l, r)| (r - l) / l.abs())
        .filter(|x| x.is_finite());
    CellChange { path, left: left.cloned(), right: right.cloned(), absolute, relative }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(left: &Value, right: &Value) -> Vec<String> {
        let text = |v: &Option<Value>| v.as_ref().map_or("-".to_owned(), Value::to_string);
        diff(left, right)
            .iter()
            .map(|c| format!("{} {} {}", c.path, text(&c.left), text(&c.right)))
            .collect()
    }

    #[test]
    fn equal_bodies_have_no_difference() {
        let body = json!({"a": [1, {"b": null}], "c": {}});
        assert!(diff(&body, &body).is_empty());
    }

    #[test]
    fn the_biggest_change_comes_first_and_what_is_no_number_last() {
        let left = json!({"small": 1.0, "big": 100, "flip": null, "gone": {"x": 1}});
        let right = json!({"small": 1.5, "big": 50, "flip": 6540.5, "new": [true]});
        assert_eq!(
            lines(&left, &right),
            ["/big 100 50", "/small 1.0 1.5", "/flip null 6540.5", "/gone/x 1 -", "/new/0 - true"]
        );
        let changes = diff(&left, &right);
        assert_eq!((changes[0].absolute, changes[0].relative), (Some(-50.0), Some(-0.5)));
        assert_eq!((changes[2].absolute, changes[2].relative), (None, None), "absent is not zero");
    }

    #[test]
    fn strikes_are_compared_with_themselves() {
        let left = json!({"by_strike": [{"strike": 100.0, "net": 1}, {"strike": 105.0, "net": 2}]});
        let right = json!({"by_strike": [{"strike": 95.0, "net": 9}, {"strike": 100.0, "net": 1},
            {"strike": 105.0, "net": 4}]});
        assert_eq!(
            lines(&left, &right),
            ["/by_strike/105/net 2 4", "/by_strike/95/net - 9", "/by_strike/95/strike - 95.0"]
        );
    }

    #[test]
    fn what_has_a_kind_is_compared_with_its_like() {
        let flip = |price: f64| json!({"kind": "flip", "family": "gex", "price": price});
        let pain = |expiry: &str| json!({"kind": "max_pain", "expiry": expiry, "price": 1});
        let node = |price: i64| json!({"kind": "node", "expiry": null, "price": price});
        let left = json!([node(90), pain("a"), flip(100.5), pain("b"), node(110)]);
        let right = json!([flip(80.5), node(90), pain("a"), pain("b"), node(111)]);
        assert_eq!(
            lines(&left, &right),
            ["/flip:gex/price 100.5 80.5", "/node#2/price 110 111"],
            "whatever place they stand in"
        );
    }

    #[test]
    fn names_with_slashes_stay_readable() {
        assert_eq!(lines(&json!({"a/b~": 1}), &json!({"a/b~": 2})), ["/a~1b~0 1 2"]);
    }

    #[test]
    fn other_kinds_of_values_are_one_change() {
        assert_eq!(lines(&json!({"a": []}), &json!({"a": {}})), ["/a [] {}"]);
        assert_eq!(lines(&json!({"a": [1]}), &json!({"a": 1})), ["/a [1] 1"]);
        assert_eq!(lines(&json!([1, 2, 3]), &json!([1, 3])), ["/1 2 3", "/2 3 -"]);
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        assert_eq!(diff_bodies(b"{}", b"{").expect_err("no JSON").side, "right");
    }
}
