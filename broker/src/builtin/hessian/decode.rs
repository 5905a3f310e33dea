use std::{collections::BTreeMap, rc::Rc};

use super::super::value::Value;

/// Values inside values; deeper ones are refused.
const DEPTH_MAX: usize = 32;
/// Values in all, and fields that classes name. Every one takes a byte at least, so the message bounds them too.
const VALUES_MAX: usize = 100_000;

type Decoded<T> = Result<T, &'static str>;

/// The one value that `bytes` hold.
pub(in crate::builtin) fn decode(bytes: &[u8]) -> Decoded<Value> {
    let mut input = In {
        rest: bytes,
        classes: Vec::new(),
        values: 0,
    };
    let value = input.value(0)?;
    match input.rest {
        [] => Ok(value),
        _ => Err("bytes are left behind the value"),
    }
}

struct In<'b> {
    rest: &'b [u8],
    /// The fields of each class defined so far.
    classes: Vec<Rc<[String]>>,
    values: usize,
}

impl In<'_> {
    fn byte(&mut self) -> Decoded<u8> {
        let (first, rest) = self.rest.split_first().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn count(&mut self, depth: usize) -> Decoded<()> {
        self.values += 1;
        match depth > DEPTH_MAX || self.values > VALUES_MAX {
            true => Err("it is too deep or too large"),
            false => Ok(()),
        }
    }

    fn value(&mut self, depth: usize) -> Decoded<Value> {
        self.count(depth)?;
        let code = self.byte()?;
        self.value_of(code, depth)
    }

    fn value_of(&mut self, code: u8, depth: usize) -> Decoded<Value> {
        match code {
            b'N' => Ok(Value::Null),
            b'T' => Ok(Value::Bool(true)),
            b'F' => Ok(Value::Bool(false)),
            0x00..=0x1F | 0x30..=0x33 | b'R' | b'S' => self.text(code).map(Value::Text),
            0x38..=0x3F | 0x80..=0xFF | b'I' | b'L' | b'Y' => self.number(code).map(Value::Int),
            0x55..=0x58 | 0x70..=0x7F => self.list(code, depth),
            b'M' => {
                self.skip_type()?;
                self.entries(depth)
            }
            b'H' => self.entries(depth),
            b'C' => {
                self.class()?;
                self.value(depth + 1)
            }
            b'O' => {
                let code = self.byte()?;
                let class = self.number(code)?;
                self.object(class, depth)
            }
            0x60..=0x6F => self.object((code - 0x60).into(), depth),
            _ => Err("it holds a type that no argument here has"),
        }
    }

    fn number(&mut self, code: u8) -> Decoded<i64> {
        let code_of = i64::from(code);
        Ok(match code {
            0x80..=0xBF => code_of - 0x90,
            0xC0..=0xCF => (code_of - 0xC8) << 8 | i64::from(self.byte()?),
            0xD0..=0xD7 => (code_of - 0xD4) << 16 | i64::from(u16::from_be_bytes(self.array()?)),
            b'I' => i32::from_be_bytes(self.array()?).into(),
            // Longs: compact, of four bytes, of eight.
            0xD8..=0xEF => code_of - 0xE0,
            0xF0..=0xFF => (code_of - 0xF8) << 8 | i64::from(self.byte()?),
            0x38..=0x3F => (code_of - 0x3C) << 16 | i64::from(u16::from_be_bytes(self.array()?)),
            b'Y' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err("it has no number where one is needed"),
        })
    }

    fn text(&mut self, mut code: u8) -> Decoded<String> {
        let mut units = Vec::new();
        loop {
            let (len, last) = match code {
                0x00..=0x1F => (usize::from(code), true),
                0x30..=0x33 => {
                    let low = usize::from(self.byte()?);
                    (usize::from(code - 0x30) << 8 | low, true)
                }
                b'S' => (u16::from_be_bytes(self.array()?).into(), true),
                b'R' => (u16::from_be_bytes(self.array()?).into(), false),
                _ => return Err("it has no text where one is needed"),
            };
            for _ in 0..len {
                units.push(self.unit()?);
            }
            if last {
                return String::from_utf16(&units).map_err(|_| "a text is no UTF-16");
            }
            code = self.byte()?;
        }
    }

    fn unit(&mut self) -> Decoded<u16> {
        let first = u16::from(self.byte()?);
        let next = |input: &mut Self| input.byte().map(|byte| u16::from(byte & 0x3F));
        match first {
            0..0x80 => Ok(first),
            0xC0..0xE0 => Ok((first & 0x1F) << 6 | next(self)?),
            0xE0..0xF0 => Ok((first & 0x0F) << 12 | next(self)? << 6 | next(self)?),
            _ => Err("a text is no UTF-8"),
        }
    }

    fn skip_type(&mut self) -> Decoded<()> {
        let code = self.byte()?;
        match code {
            0x00..=0x1F | 0x30..=0x33 | b'R' | b'S' => self.text(code).map(|_| ()),
            // A type named before.
            _ => self.number(code).map(|_| ()),
        }
    }

    fn list(&mut self, code: u8, depth: usize) -> Decoded<Value> {
        let typed = matches!(code, b'U' | b'V' | 0x70..=0x77);
        if typed {
            self.skip_type()?;
        }
        let len = match code {
            0x70..=0x77 => Some(i64::from(code - 0x70)),
            0x78..=0x7F => Some(i64::from(code - 0x78)),
            b'V' | b'X' => {
                let code = self.byte()?;
                Some(self.number(code)?)
            }
            // Until its end.
            _ => None,
        };
        let mut items = Vec::new();
        match len {
            Some(len) => {
                for _ in 0..len {
                    items.push(self.value(depth + 1)?);
                }
            }
            None => {
                while self.rest.first() != Some(&b'Z') {
                    items.push(self.value(depth + 1)?);
                }
                self.byte()?;
            }
        }
        Ok(Value::List(items))
    }

    fn entries(&mut self, depth: usize) -> Decoded<Value> {
        let mut entries = BTreeMap::new();
        while self.rest.first() != Some(&b'Z') {
            let Value::Text(key) = self.value(depth + 1)? else {
                return Err("a map has a key that is no text");
            };
            entries.insert(key, self.value(depth + 1)?);
        }
        self.byte()?;
        Ok(Value::Map(entries))
    }

    fn class(&mut self) -> Decoded<()> {
        let code = self.byte()?;
        self.text(code)?;
        let code = self.byte()?;
        let len = self.number(code)?;
        let mut fields = Vec::new();
        for _ in 0..len {
            self.count(0)?;
            let code = self.byte()?;
            fields.push(self.text(code)?);
        }
        self.classes.push(fields.into());
        Ok(())
    }

    fn object(&mut self, class: i64, depth: usize) -> Decoded<Value> {
        let class = usize::try_from(class).ok();
        let fields = class.and_then(|class| self.classes.get(class)).cloned();
        let mut entries = BTreeMap::new();
        for field in &*fields.ok_or("an object is of no class")? {
            entries.insert(field.clone(), self.value(depth + 1)?);
        }
        Ok(Value::Map(entries))
    }
}
