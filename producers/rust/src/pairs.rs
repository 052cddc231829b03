use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::scan::{Raw, Scanner};
use crate::{RawJson, Text};

/// Named JSON values in their order: an object that is kept as the text it was and read when it is looked into, or
/// pairs that a producer put together. A name may be there twice.
#[derive(Clone)]
pub struct Pairs<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    /// An object, all names of which decode.
    Json(&'a str),
    List(Vec<(Cow<'a, str>, RawJson<'a>)>),
}

impl<'a> Pairs<'a> {
    /// Takes a JSON value if it is an object with names that decode.
    pub(crate) fn from_json(value: Raw<'a>) -> Option<Self> {
        if !value.json.starts_with('{') {
            return None;
        }
        if value.escaped && members(value.json).any(|(name, _)| decode_name(name).is_none()) {
            return None;
        }
        Some(Pairs(Repr::Json(value.json)))
    }

    /// The object's JSON text as it was sent, for pairs that were read: what has the same text has the same pairs.
    /// `None` for pairs that were put together.
    pub fn raw(&self) -> Option<&'a str> {
        match self.0 {
            Repr::Json(json) => Some(json),
            Repr::List(_) => None,
        }
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The names and the JSON text of their values.
    pub fn iter(&self) -> PairsIter<'_> {
        PairsIter(match &self.0 {
            Repr::Json(json) => Iter::Json(members(json)),
            Repr::List(list) => Iter::List(list.iter()),
        })
    }

    /// Adds a pair at the end.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: RawJson<'a>) {
        if let Repr::Json(json) = self.0 {
            let list = members(json).filter_map(|(name, value)| {
                Some((decode_name(name)?, RawJson::checked(value.json)))
            });
            self.0 = Repr::List(list.collect());
        }
        if let Repr::List(list) = &mut self.0 {
            list.push((name.into(), value));
        }
    }
}

impl Default for Pairs<'_> {
    fn default() -> Self {
        Pairs(Repr::List(Vec::new()))
    }
}

/// Iterates over [`Pairs`].
pub struct PairsIter<'p>(Iter<'p>);

enum Iter<'p> {
    Json(Members<'p>),
    List(std::slice::Iter<'p, (Cow<'p, str>, RawJson<'p>)>),
}

impl<'p> Iterator for PairsIter<'p> {
    type Item = (Cow<'p, str>, &'p str);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Iter::Json(members) => {
                let (name, value) = members.next()?;
                Some((decode_name(name)?, value.json))
            }
            Iter::List(list) => {
                let (name, value) = list.next()?;
                Some((Cow::Borrowed(name), value.get()))
            }
        }
    }
}

impl<'p> IntoIterator for &'p Pairs<'_> {
    type Item = (Cow<'p, str>, &'p str);
    type IntoIter = PairsIter<'p>;

    fn into_iter(self) -> PairsIter<'p> {
        self.iter()
    }
}

impl PartialEq for Pairs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.iter()
                .map(|(name, value)| (name, RawJson::checked(value))),
        )
    }
}

/// The members of an object that was checked.
pub(crate) fn members(json: &str) -> Members<'_> {
    let mut scanner = Scanner::new(json);
    let more = scanner.open(b'{', b'}') == Some(true);
    Members { scanner, more }
}

/// Iterates over the members of an object, names and values as JSON.
pub(crate) struct Members<'a> {
    scanner: Scanner<'a>,
    more: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Raw<'a>, Raw<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if !self.more {
            return None;
        }
        let member = self.scanner.member()?;
        self.more = self.scanner.more(b'}') == Some(true);
        Some(member)
    }
}

/// The name of a member; `None` when it has half of a surrogate pair.
#[inline]
pub(crate) fn decode_name(name: Raw<'_>) -> Option<Cow<'_, str>> {
    Text::from_json(name).map(Text::into_cow)
}
