use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

/// A certificate authority that nobody knows.
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

/// What a server shows: PEM.
pub struct ServerCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// OpenSSL's own.
    pub fn new(name: &str) -> Result<Self> {
        let key = key()?;
        let subject = subject(name)?;
        let mut builder = builder(&subject, &subject, &key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        let usage = KeyUsage::new().critical().key_cert_sign().build()?;
        builder.append_extension(usage)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build();
        Ok(Self { certificate, key })
    }

    /// Its own certificate, as PEM.
    ///
    /// # Errors
    /// OpenSSL's own.
    pub fn pem(&self) -> Result<String> {
        Ok(String::from_utf8(self.certificate.to_pem()?)?)
    }

    /// A certificate for a server of this name.
    ///
    /// # Errors
    /// OpenSSL's own.
    pub fn server(&self, host: &str) -> Result<ServerCertificate> {
        let key = key()?;
        let issuer = self.certificate.subject_name();
        let mut builder = builder(&subject("server")?, issuer, &key)?;
        let names = SubjectAlternativeName::new()
            .dns(host)
            .build(&builder.x509v3_context(Some(&self.certificate), None))?;
        builder.append_extension(names)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(ServerCertificate {
            certificate: String::from_utf8(builder.build().to_pem()?)?,
            key: String::from_utf8(key.private_key_to_pem_pkcs8()?)?,
        })
    }
}

fn key() -> Result<PKey<Private>> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&curve)?)?)
}

fn subject(name: &str) -> Result<X509Name> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}

fn builder(
    subject: &X509Name,
    issuer: &openssl::x509::X509NameRef,
    key: &PKey<Private>,
) -> Result<X509Builder> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_certificate_is_its_authoritys() {
        let authority = Authority::new("ours").expect("an authority");
        let other = Authority::new("ours").expect("an authority");
        let server = authority.server("es.shop.svc").expect("a certificate");
        let certificate = X509::from_pem(server.certificate.as_bytes()).expect("PEM");
        let signed_by = |authority: &Authority| certificate.verify(&authority.key).expect("a key");
        assert!(signed_by(&authority) && !signed_by(&other));
        let names = certificate.subject_alt_names().expect("names");
        assert_eq!(names[0].dnsname(), Some("es.shop.svc"));
        assert!(server.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(
            authority
                .pem()
                .expect("PEM")
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
    }
}
