//! `person_revision.body`: 宛名基本情報.

use vrx_domain::{AddresseeNumber, ImportId, Person, PersonalText, Protection, Sex};
use zeroize::Zeroizing;

use super::{Malformed, Reader, Writer};

/// A revision of a person, with what its row says in the clear repeated where nobody can change it.
pub(crate) struct PersonBody {
    pub(crate) revision: u32,
    pub(crate) import: ImportId,
    pub(crate) person: Person,
}

/// revision u32 | import id 16 | addressee number | kanji name | kana name | birth date | sex u8 | address | became
/// resident? | ceased resident? | (protected from, until?)?
pub(crate) fn encode_person(
    revision: u32,
    import: ImportId,
    person: &Person,
) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let mut out = Writer::new();
    out.u32(revision);
    out.raw(import.as_bytes());
    out.text(person.addressee_number.as_str())?;
    out.text(person.name_kanji.as_str())?;
    out.text(person.name_kana.as_str())?;
    out.date(person.birth_date);
    out.u8(person.sex.code());
    out.text(person.address.as_str())?;
    for date in [person.became_resident, person.ceased_resident] {
        out.option(date, |out, date| {
            out.date(date);
            Ok(())
        })?;
    }
    out.option(person.protection.as_ref(), |out, protection| {
        out.date(protection.from);
        out.option(protection.until, |out, until| {
            out.date(until);
            Ok(())
        })
    })?;
    Ok(out.finish())
}

pub(crate) fn decode_person(bytes: &[u8]) -> Result<PersonBody, Malformed> {
    let mut body = Reader::new(bytes);
    let revision = body.u32()?;
    let import = ImportId::from_bytes(body.array()?);
    let person = Person {
        addressee_number: AddresseeNumber::parse(body.text()?).map_err(|_| Malformed)?,
        name_kanji: PersonalText::new(body.text()?.to_owned()),
        name_kana: PersonalText::new(body.text()?.to_owned()),
        birth_date: body.date()?,
        sex: Sex::from_code(body.u8()?).ok_or(Malformed)?,
        address: PersonalText::new(body.text()?.to_owned()),
        became_resident: body.option(Reader::date)?,
        ceased_resident: body.option(Reader::date)?,
        protection: body.option(|body| {
            Ok(Protection {
                from: body.date()?,
                until: body.option(Reader::date)?,
            })
        })?,
    };
    body.end()?;
    Ok(PersonBody {
        revision,
        import,
        person,
    })
}
