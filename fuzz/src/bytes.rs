//! A fuzzer's bytes, read as choices. At their end every choice is the first one.

/// What is left of the input.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of so many.
    pub fn below(&mut self, many: usize) -> usize {
        usize::from(self.byte()) % many.max(1)
    }

    pub fn one_of<'b, T: ?Sized>(&mut self, choices: &[&'b T]) -> &'b T {
        choices[self.below(choices.len())]
    }

    /// Once in so often.
    pub fn rarely(&mut self, often: u8) -> bool {
        self.byte() % often == often - 1
    }

    /// A number that somebody might have forgotten about, as it is written.
    pub fn number(&mut self) -> String {
        const ODD: [&str; 16] = [
            "0",
            "1",
            "2",
            "3",
            "5",
            "-1",
            "1000000",
            "1000001",
            "4294967295",
            "4294967296",
            "9007199254740991",
            "18446744073709551615",
            "1e400",
            "1.5",
            "null",
            "\"1\"",
        ];
        let choice = self.byte();
        match ODD.get(usize::from(choice)) {
            Some(odd) => (*odd).to_owned(),
            None => (choice % 16).to_string(),
        }
    }

    /// Anything at all, as a text.
    pub fn junk(&mut self) -> String {
        let length = self.below(24).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(taken).into_owned()
    }
}
