//! Finds the values of JSON text (RFC 8259) and checks it on the way, without decoding any.
//!
//! What it refuses is left to serde_json to explain, so it has no messages of its own.

/// A JSON value as it stands in the text, without white space around it; checked but for the pairing of surrogates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    pub json: &'a str,
    /// Whether there is an escape in it, so that strings have to be decoded.
    pub escaped: bool,
}

impl<'a> Raw<'a> {
    /// Whether it is a string.
    #[inline]
    pub fn is_string(&self) -> bool {
        self.json.as_bytes().first() == Some(&b'"')
    }

    /// Whether it is null.
    #[inline]
    pub fn is_null(&self) -> bool {
        self.json.as_bytes().first() == Some(&b'n')
    }

    /// The bytes between a string's quotes, where nothing has to be decoded.
    #[inline]
    pub fn plain(&self) -> Option<&'a [u8]> {
        match self.json.as_bytes() {
            [b'"', plain @ .., b'"'] if !self.escaped => Some(plain),
            _ => None,
        }
    }
}

/// A place in JSON text. Its methods move on behind what they read, and give `None` where the text is not JSON.
///
/// What is read for every event is inlined into its reader, and the rest takes a copy of the scanner, so that the place
/// can stay in a register: `cargo bench -p bt-events` shows what that is worth.
#[derive(Clone, Copy)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether only white space is left.
    pub fn at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Reads the array that begins here, element by element, for as long as `element` gives something.
    pub fn array(&mut self, mut element: impl FnMut(Raw<'a>) -> Option<()>) -> Option<()> {
        if !self.open(b'[', b']')? {
            return Some(());
        }
        loop {
            element(self.value()?)?;
            if !self.more(b']')? {
                return Some(());
            }
        }
    }

    /// Reads the object that begins here, member by member, for as long as `member` gives something.
    #[inline]
    pub fn object(&mut self, mut member: impl FnMut(Raw<'a>, Raw<'a>) -> Option<()>) -> Option<()> {
        if !self.open(b'{', b'}')? {
            return Some(());
        }
        loop {
            let (name, value) = self.member()?;
            member(name, value)?;
            if !self.more(b'}')? {
                return Some(());
            }
        }
    }

    /// Reads a value, member by member where it is an object: its text.
    #[inline]
    pub fn value_or_object(
        &mut self,
        member: impl FnMut(Raw<'a>, Raw<'a>) -> Option<()>,
    ) -> Option<&'a str> {
        let start = self.at;
        match self.peek()? {
            b'{' => self.object(member)?,
            _ => drop(self.value()?),
        }
        Some(&self.text[start..self.at])
    }

    /// Reads the beginning of an array or an object: whether there is something in it.
    #[inline(always)]
    pub fn open(&mut self, start: u8, end: u8) -> Option<bool> {
        if self.next()? != start {
            return None;
        }
        self.space();
        let empty = self.peek()? == end;
        self.at += usize::from(empty);
        Some(!empty)
    }

    /// Reads what stands behind an element or a member: whether another one follows.
    #[inline(always)]
    pub fn more(&mut self, end: u8) -> Option<bool> {
        self.space();
        let found = self.next()?;
        if found == b',' {
            self.space();
            return Some(true);
        }
        (found == end).then_some(false)
    }

    /// Reads a member of an object, its name and its value.
    #[inline(always)]
    pub fn member(&mut self) -> Option<(Raw<'a>, Raw<'a>)> {
        let start = self.at;
        let escaped = self.string()?;
        let name = self.raw(start, escaped);
        self.colon()?;
        Some((name, self.value()?))
    }

    /// Reads a value.
    #[inline(always)]
    pub fn value(&mut self) -> Option<Raw<'a>> {
        let start = self.at;
        let escaped = match self.peek()? {
            b'"' => self.string()?,
            b'{' | b'[' => {
                let (end, escaped) = (*self).nested()?;
                self.at = end;
                escaped
            }
            _ => {
                self.at = (*self).other()?;
                false
            }
        };
        Some(self.raw(start, escaped))
    }

    /// Reads an array or an object, however deep it is, without recursion: where it ends and whether it has an escape.
    fn nested(mut self) -> Option<(usize, bool)> {
        let mut escaped = false;
        let mut open = Open::default();
        loop {
            match self.peek()? {
                b'"' => escaped |= self.string()?,
                bracket @ (b'{' | b'[') => {
                    open.push(bracket == b'{');
                    if self.open(bracket, open.closing())? {
                        if open.is_object() {
                            escaped |= self.string()?;
                            self.colon()?;
                        }
                        continue;
                    }
                    open.pop();
                }
                _ => self.at = self.other()?,
            }
            // Behind a value: as many ends as there are, then the next one.
            loop {
                if open.depth == 0 {
                    return Some((self.at, escaped));
                }
                if self.more(open.closing())? {
                    break;
                }
                open.pop();
            }
            if open.is_object() {
                escaped |= self.string()?;
                self.colon()?;
            }
        }
    }

    /// Reads a string: whether it has an escape.
    #[inline(always)]
    fn string(&mut self) -> Option<bool> {
        if self.next()? != b'"' {
            return None;
        }
        self.plain_text();
        match self.next()? {
            b'"' => Some(false),
            found => {
                self.at = (*self).escaped_string(found)?;
                Some(true)
            }
        }
    }

    /// Reads the rest of a string, behind a character that is not plain text: where it ends.
    fn escaped_string(mut self, mut found: u8) -> Option<usize> {
        while found != b'"' {
            if found != b'\\' {
                return None;
            }
            match self.next()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += 4;
                }
                _ => return None,
            }
            self.plain_text();
            found = self.next()?;
        }
        Some(self.at)
    }

    /// Moves on to the end of a string, an escape, or a character that must not be there.
    #[inline(always)]
    fn plain_text(&mut self) {
        while let Some(chunk) = self.text.as_bytes()[self.at..].first_chunk() {
            let found = specials(chunk);
            if found != 0 {
                self.at += found.trailing_zeros() as usize;
                return;
            }
            self.at += chunk.len();
        }
        while self.peek().is_some_and(|byte| !is_special(byte)) {
            self.at += 1;
        }
    }

    /// Reads a number, `true`, `false` or `null`: where it ends.
    fn other(mut self) -> Option<usize> {
        match self.next()? {
            b't' => return self.rest("rue"),
            b'f' => return self.rest("alse"),
            b'n' => return self.rest("ull"),
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            b'-' => match self.next()? {
                b'0' => {}
                b'1'..=b'9' => self.digits(),
                _ => return None,
            },
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Some(self.at)
    }

    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        self.digits();
        (self.at > start).then_some(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn rest(self, word: &str) -> Option<usize> {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        found.then_some(self.at + word.len())
    }

    #[inline(always)]
    fn colon(&mut self) -> Option<()> {
        self.space();
        let found = self.next()?;
        self.space();
        (found == b':').then_some(())
    }

    #[inline(always)]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn raw(&self, start: usize, escaped: bool) -> Raw<'a> {
        let json = &self.text[start..self.at];
        Raw { json, escaped }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// The arrays and objects that are open, a bit for each, so that no depth of nesting costs more than memory for bits.
#[derive(Default)]
struct Open {
    /// Those of the innermost up to 64 levels; 1 is an object.
    objects: u64,
    outer: Vec<u64>,
    depth: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.objects);
        }
        self.objects = self.objects << 1 | u64::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.objects = self.outer.pop().unwrap_or_default();
        }
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn closing(&self) -> u8 {
        if self.is_object() { b'}' } else { b']' }
    }
}

/// What ends the plain text of a string.
#[inline]
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..b' ')
}

/// A bit for each byte that is special in a string.
#[inline]
fn specials(chunk: &[u8; 16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has SSE2, and this is all that the function asks for.
    return unsafe { specials_sse2(chunk) };
    #[cfg(not(target_arch = "x86_64"))]
    return (0..16)
        .map(|at| u32::from(is_special(chunk[at])) << at)
        .sum();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn specials_sse2(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8 as equal, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128 as or,
        _mm_set_epi64x, _mm_set1_epi8 as all,
    };
    let bits = u128::from_le_bytes(*chunk);
    let bytes = _mm_set_epi64x((bits >> 64) as i64, bits as i64);
    let quotes = equal(bytes, all(b'"' as i8));
    let escapes = equal(bytes, all(b'\\' as i8));
    let controls = equal(bytes, _mm_min_epu8(bytes, all(0x1f)));
    _mm_movemask_epi8(or(or(quotes, escapes), controls)) as u32
}
