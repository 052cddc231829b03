use std::collections::HashMap;
use std::rc::Rc;

use serde_json::value::RawValue;

use crate::fields::Fields;
use crate::json::{kind_of, why_not};
use crate::scan::{Raw, Scanner};
use crate::{Event, EventError};

/// Takes a record's value apart into the events it holds: itself, or the elements of its array. Elements are not
/// looked into before [`Element::event`], so that a bad one does not spoil the others.
///
/// # Errors
/// When the value as a whole is not JSON text.
pub fn parse(value: &[u8]) -> Result<Elements<'_>, EventError> {
    let text = match simdutf8::basic::from_utf8(value) {
        Ok(text) => text,
        // Tells the place.
        Err(_) => std::str::from_utf8(value).map_err(|e| EventError::NotUtf8(e.valid_up_to()))?,
    };
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if !text.starts_with('[') {
        return Ok(Elements(Inner::One(Some(text))));
    }
    match Array::read(text) {
        Some(array) => Ok(Elements(Inner::Many(Rc::new(array), 0))),
        None => Err(EventError::NotJson(why_not::<Vec<&RawValue>>(text))),
    }
}

/// The events of a record, see [`parse`].
pub struct Elements<'a>(Inner<'a>);

enum Inner<'a> {
    One(Option<&'a str>),
    Many(Rc<Array<'a>>, usize),
}

/// An array that was checked to its end, with the places that were found on the way, so that no element is read twice.
#[derive(Debug)]
struct Array<'a> {
    /// The elements, each with the number of members that lie before its end.
    elements: Vec<(&'a str, usize)>,
    /// The members of all elements that are objects.
    members: Vec<(Raw<'a>, Raw<'a>)>,
}

impl<'a> Array<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut array = Array {
            elements: Vec::with_capacity(text.len() / 256),
            // About as many as there are in text of the usual events.
            members: Vec::with_capacity(text.len() / 32),
        };
        let mut scanner = Scanner::new(text);
        let mut more = scanner.open(b'[', b']')?;
        while more {
            let json = scanner.value_or_object(|name, value| {
                array.members.push((name, value));
                Some(())
            })?;
            array.elements.push((json, array.members.len()));
            more = scanner.more(b']')?;
        }
        scanner.at_end().then_some(array)
    }

    /// The members of the element at `place`.
    fn members(&self, place: usize) -> &[(Raw<'a>, Raw<'a>)] {
        let start = place
            .checked_sub(1)
            .map_or(0, |before| self.elements[before].1);
        &self.members[start..self.elements[place].1]
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        match &mut self.0 {
            Inner::One(json) => json.take().map(|json| Element { json, of: None }),
            Inner::Many(array, next) => {
                let (json, _) = *array.elements.get(*next)?;
                let of = Some((array.clone(), *next));
                *next += 1;
                Some(Element { json, of })
            }
        }
    }
}

/// One event of a record, not yet looked into.
#[derive(Debug, Clone)]
pub struct Element<'a> {
    json: &'a str,
    /// The array that it is of, and its place there.
    of: Option<(Rc<Array<'a>>, usize)>,
}

impl<'a> Element<'a> {
    /// The place in the record's array, from 0; `None` when the record is one object.
    pub fn place(&self) -> Option<usize> {
        self.of.as_ref().map(|(_, place)| *place)
    }

    /// The element's JSON as it was sent.
    pub fn json(&self) -> &'a str {
        self.json
    }

    /// Reads the event.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn event(&self) -> Result<Event<'a>, EventError> {
        let json = self.json;
        if !json.starts_with('{') {
            // Tells broken JSON from JSON of the wrong shape.
            return Err(match serde_json::from_str::<&RawValue>(json) {
                Ok(_) => EventError::NotAnObject(kind_of(json)),
                Err(e) => EventError::NotJson(e.to_string()),
            });
        }
        let mut fields = Fields::default();
        let read = match &self.of {
            Some((array, place)) => {
                let mut members = array.members(*place).iter();
                members.try_for_each(|(name, value)| fields.put(*name, *value))
            }
            None => {
                let mut scanner = Scanner::new(json);
                let read = scanner.object(|name, value| fields.put(name, value));
                read.filter(|()| scanner.at_end())
            }
        };
        if read.is_none() {
            return Err(EventError::NotJson(why_not::<HashMap<String, &RawValue>>(
                json,
            )));
        }
        fields.event()
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
