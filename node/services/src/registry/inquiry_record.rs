//! What is kept of an answer until it is adopted or its time is over: one sealed row, encoded here.

use vrx_domain::{ImportId, IndividualNumber, MunicipalityCode};
use zeroize::Zeroizing;

use crate::exchange::AnswerBytes;

const FORMAT: u8 = 1;

/// A checked answer that waits.
pub(crate) struct KeptAnswer {
    /// Whose doses they are.
    pub(crate) number: IndividualNumber,
    /// The municipality that answered.
    pub(crate) provider: MunicipalityCode,
    /// SPIFFE URI of the staff member who inquired.
    pub(crate) inquirer: String,
    /// Index of the answer's entry in the provider's log.
    pub(crate) provider_log_index: u64,
    /// Doses in the answer.
    pub(crate) doses: u32,
    /// The answer's bytes as they came; empty once they were adopted.
    pub(crate) answer: AnswerBytes,
    /// The import that took it in, once it was adopted.
    pub(crate) adopted: Option<ImportId>,
}

/// The row isn't what this node wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl KeptAnswer {
    /// `format u8 | number 12 | provider u32 | log index u64 | doses u32 | adopted u8 | import 16 | u16 length, inquirer | u32 length, answer`.
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let inquirer = self.inquirer.as_bytes();
        let answer = self.answer.as_bytes();
        let mut out = Zeroizing::new(Vec::with_capacity(48 + inquirer.len() + answer.len()));
        out.push(FORMAT);
        out.extend_from_slice(self.number.digits());
        out.extend_from_slice(&self.provider.as_u32().to_be_bytes());
        out.extend_from_slice(&self.provider_log_index.to_be_bytes());
        out.extend_from_slice(&self.doses.to_be_bytes());
        out.push(u8::from(self.adopted.is_some()));
        match &self.adopted {
            Some(import) => out.extend_from_slice(import.as_bytes()),
            None => out.extend_from_slice(&[0; 16]),
        }
        out.extend_from_slice(
            &u16::try_from(inquirer.len())
                .map_err(|_| Malformed)?
                .to_be_bytes(),
        );
        out.extend_from_slice(inquirer);
        out.extend_from_slice(
            &u32::try_from(answer.len())
                .map_err(|_| Malformed)?
                .to_be_bytes(),
        );
        out.extend_from_slice(answer);
        Ok(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        let [format] = take::<1>(&mut rest)?;
        if format != FORMAT {
            return Err(Malformed);
        }
        let digits = Zeroizing::new(take::<12>(&mut rest)?);
        let number = IndividualNumber::from_digits(digits.as_slice()).map_err(|_| Malformed)?;
        let provider = format!("{:06}", u32::from_be_bytes(take(&mut rest)?))
            .parse()
            .map_err(|_| Malformed)?;
        let provider_log_index = u64::from_be_bytes(take(&mut rest)?);
        let doses = u32::from_be_bytes(take(&mut rest)?);
        let [adopted] = take::<1>(&mut rest)?;
        let import = ImportId::from_bytes(take(&mut rest)?);
        let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let inquirer = take_slice(&mut rest, length)?;
        let inquirer = std::str::from_utf8(inquirer)
            .map_err(|_| Malformed)?
            .to_owned();
        let length =
            usize::try_from(u32::from_be_bytes(take(&mut rest)?)).map_err(|_| Malformed)?;
        let answer = AnswerBytes::new(Zeroizing::new(take_slice(&mut rest, length)?.to_vec()));
        if !rest.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            number,
            provider,
            inquirer,
            provider_log_index,
            doses,
            answer,
            adopted: (adopted == 1).then_some(import),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    *rest = tail;
    Ok(*head)
}

fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (head, tail) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(adopted: Option<ImportId>) -> KeptAnswer {
        KeptAnswer {
            number: IndividualNumber::parse("123456789018").unwrap(),
            provider: "142051".parse().unwrap(),
            inquirer: "spiffe://vrx.example/municipality/141003/staff/sato".into(),
            provider_log_index: 77,
            doses: 3,
            answer: AnswerBytes::new(Zeroizing::new(vec![1, 2, 3])),
            adopted,
        }
    }

    #[test]
    fn a_kept_answer_comes_back_as_it_was() {
        for adopted in [None, Some(ImportId::from_bytes([9; 16]))] {
            let bytes = sample(adopted).encode().unwrap();
            let back = KeptAnswer::decode(&bytes).unwrap_or_else(|_| panic!("decodes"));
            assert!(back.number.ct_eq(&sample(None).number));
            assert_eq!(back.provider.as_u32(), 142_051);
            assert_eq!(back.inquirer, sample(None).inquirer);
            assert_eq!((back.provider_log_index, back.doses), (77, 3));
            assert_eq!(back.answer.as_bytes(), [1, 2, 3]);
            assert_eq!(back.adopted, adopted);
        }
    }

    #[test]
    fn a_cut_or_lengthened_row_is_malformed() {
        let bytes = sample(None).encode().unwrap();
        for length in 0..bytes.len() {
            assert!(KeptAnswer::decode(&bytes[..length]).is_err());
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(KeptAnswer::decode(&longer).is_err());
    }
}
