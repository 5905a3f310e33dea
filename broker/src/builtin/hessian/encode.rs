use super::super::value::{Object, Value};

/// UTF-16 units of one chunk of a string.
const CHUNK: usize = 0x8000;

pub(in crate::builtin) fn encode(value: &Value) -> Vec<u8> {
    let mut out = Out {
        bytes: Vec::new(),
        classes: Vec::new(),
    };
    out.value(value);
    out.bytes
}

struct Out<'v> {
    bytes: Vec<u8>,
    /// Classes defined so far, by what makes one: name and fields.
    classes: Vec<&'v Object>,
}

impl<'v> Out<'v> {
    fn value(&mut self, value: &'v Value) {
        match value {
            Value::Null => self.bytes.push(b'N'),
            Value::Bool(is) => self.bytes.push(if *is { b'T' } else { b'F' }),
            Value::Int(number) => self.number(*number),
            Value::Text(text) => self.text(text),
            Value::List(items) => {
                match items.len() {
                    len @ 0..=7 => self.bytes.push(0x78 + len as u8),
                    len => {
                        self.bytes.push(b'X');
                        self.number(len as i64);
                    }
                }
                items.iter().for_each(|item| self.value(item));
            }
            Value::Map(entries) => {
                self.bytes.push(b'H');
                for (key, value) in entries {
                    self.text(key);
                    self.value(value);
                }
                self.bytes.push(b'Z');
            }
            Value::Object(object) => self.object(object),
        }
    }

    fn object(&mut self, object: &'v Object) {
        let same = |other: &&Object| {
            let names = |object: &Object| object.fields.iter().map(|(name, _)| *name).collect();
            let (one, two): (Vec<&str>, Vec<&str>) = (names(object), names(other));
            object.class == other.class && one == two
        };
        let class = match self.classes.iter().position(same) {
            Some(class) => class,
            None => {
                self.bytes.push(b'C');
                self.text(object.class);
                self.number(object.fields.len() as i64);
                for (name, _) in &object.fields {
                    self.text(name);
                }
                self.classes.push(object);
                self.classes.len() - 1
            }
        };
        match class {
            0..=15 => self.bytes.push(0x60 + class as u8),
            class => {
                self.bytes.push(b'O');
                self.number(class as i64);
            }
        }
        for (_, value) in &object.fields {
            self.value(value);
        }
    }

    /// An int where it fits, else a long.
    fn number(&mut self, number: i64) {
        let [.., b1, b0] = number.to_be_bytes();
        match number {
            -0x10..=0x2F => self.bytes.push((0x90 + number) as u8),
            -0x800..=0x7FF => self.bytes.extend([(0xC8 + (number >> 8)) as u8, b0]),
            -0x40000..=0x3FFFF => {
                self.bytes.extend([(0xD4 + (number >> 16)) as u8, b1, b0]);
            }
            number => match i32::try_from(number) {
                Ok(number) => {
                    self.bytes.push(b'I');
                    self.bytes.extend(number.to_be_bytes());
                }
                Err(_) => {
                    self.bytes.push(b'L');
                    self.bytes.extend(number.to_be_bytes());
                }
            },
        }
    }

    /// Lengths are counted in UTF-16 units; characters are written as UTF-8, those beyond the basic
    /// plane as two surrogates of three bytes each, as Java has them.
    fn text(&mut self, text: &str) {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut rest = units.as_slice();
        while rest.len() > CHUNK {
            // A pair of surrogates stays together.
            let cut = match rest[CHUNK - 1] {
                0xD800..=0xDBFF => CHUNK - 1,
                _ => CHUNK,
            };
            self.bytes.push(b'R');
            self.bytes.extend((cut as u16).to_be_bytes());
            rest[..cut].iter().for_each(|unit| self.unit(*unit));
            rest = &rest[cut..];
        }
        match rest.len() {
            len @ 0..=0x1F => self.bytes.push(len as u8),
            len @ 0x20..=0x3FF => self.bytes.extend([0x30 + (len >> 8) as u8, len as u8]),
            len => {
                self.bytes.push(b'S');
                self.bytes.extend((len as u16).to_be_bytes());
            }
        }
        rest.iter().for_each(|unit| self.unit(*unit));
    }

    fn unit(&mut self, unit: u16) {
        let low = |shift: u16| (0x80 | (unit >> shift & 0x3F)) as u8;
        match unit {
            0..0x80 => self.bytes.push(unit as u8),
            0x80..0x800 => self.bytes.extend([(0xC0 | unit >> 6) as u8, low(0)]),
            _ => self
                .bytes
                .extend([(0xE0 | unit >> 12) as u8, low(6), low(0)]),
        }
    }
}
