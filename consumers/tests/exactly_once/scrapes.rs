//! All scrapes of a group's members, as Prometheus would see them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use crate::exposition::{Series, read, samples, types};

/// What one member showed at one time.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// The process: one that is started again is another.
    pub member: u32,
    /// Not before this moment was it taken.
    pub sent: Instant,
    /// Not after this one.
    pub received: Instant,
    /// Values by the number of their series, see [`Scrapes::series`].
    pub values: Vec<(u32, f64)>,
}

/// The scrapes of one group.
#[derive(Debug, Default)]
pub struct Scrapes {
    /// The series by their numbers.
    pub series: Vec<Series>,
    /// In the order in which they were received.
    pub scrapes: Vec<Scrape>,
    /// Numbers by the text in which a member shows a series, so that each is taken apart once.
    numbers: HashMap<String, Option<u32>>,
    by_name: HashMap<String, u32>,
}

impl Scrapes {
    /// Keeps what a member answered; where it is not a page of samples, returns the first line that is none.
    pub fn add<'p>(
        &mut self,
        member: u32,
        sent: Instant,
        received: Instant,
        page: &'p str,
    ) -> Result<(), &'p str> {
        let types = types(page);
        let mut values = Vec::new();
        for sample in samples(page) {
            let (text, value) = sample?;
            if let Some(number) = self.number(text, &types) {
                values.push((number, value));
            }
        }
        self.scrapes.push(Scrape {
            member,
            sent,
            received,
            values,
        });
        Ok(())
    }

    /// The number of a series by its text; `None` for what is no sum of events.
    fn number(&mut self, text: &str, types: &HashMap<&str, &str>) -> Option<u32> {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = read(text, types).map(|series| {
            let next = self.series.len() as u32;
            let number = *self.by_name.entry(series.name.clone()).or_insert(next);
            if number == next {
                self.series.push(series);
            }
            number
        });
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// Leaves out what was shown of a source until now.
    pub fn forget(&mut self, source: &str) {
        for scrape in &mut self.scrapes {
            let of = |number: u32| &self.series[number as usize].source;
            scrape.values.retain(|(number, _)| of(*number) != source);
        }
    }

    /// The sources of which a scrape shows something.
    pub fn sources(&self, scrape: &Scrape) -> BTreeSet<&str> {
        let sources = scrape.values.iter();
        sources
            .map(|(number, _)| &*self.series[*number as usize].source)
            .collect()
    }

    /// The last scrape of a member.
    pub fn last(&self, member: u32) -> Option<&Scrape> {
        self.scrapes.iter().rev().find(|s| s.member == member)
    }

    /// What these members showed last, by the series' names; a series that more than one shows has more than one value.
    pub fn shown(&self, members: &[u32]) -> BTreeMap<&str, Vec<f64>> {
        let mut shown: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for scrape in members.iter().filter_map(|member| self.last(*member)) {
            for (number, value) in &scrape.values {
                let name = &*self.series[*number as usize].name;
                shown.entry(name).or_default().push(*value);
            }
        }
        shown
    }
}
