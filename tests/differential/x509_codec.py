#!/usr/bin/env python3
"""Our certificates and requests beside the openssl command line. Of what openssl makes (names in every string type, key kinds,
extensions) ours reads the same fields, and refuses the keys that it does not take; what ours writes openssl reads the same, and
its signature verifies; of the same bytes damaged, whatever ours takes openssl takes too, with the same fields.
Usage: x509_codec.py [SEED]"""
import base64
import concurrent.futures
import datetime
import ipaddress
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILDS = [pathlib.Path(os.environ["HOLDFAST_BUILD"])] if os.environ.get("HOLDFAST_BUILD") else [TOP / "build" / p for p in ("sanitize", "release", "debug")]
SETS, DAMAGED, DAMAGED_REQUESTS_TAKEN = 20, 40, 30
KINDS = {"p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "ed25519": ["-algorithm", "ED25519"],
         "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]}
OURS = {"p256": "1", "ed25519": "2"}
USAGES = {"Digital Signature": 0x8000, "Non Repudiation": 0x4000, "Key Encipherment": 0x2000, "Data Encipherment": 0x1000, "Key Agreement": 0x0800,
          "Certificate Sign": 0x0400, "CRL Sign": 0x0200, "Encipher Only": 0x0100, "Decipher Only": 0x0080}
CONFIGURED = {"digitalSignature": 0x8000, "keyEncipherment": 0x2000, "keyAgreement": 0x0800, "keyCertSign": 0x0400, "cRLSign": 0x0200, "nonRepudiation": 0x4000, "decipherOnly": 0x0080}
PURPOSES = {"TLS Web Server Authentication": 1, "TLS Web Client Authentication": 2, "CMC Registration Authority": 4, "Any Extended Key Usage": 8}
HARDWARE_TYPE, HARDWARE_OCTETS = "1.3.6.1.4.1.55555.7", "2b0601040183b20307"
SECOND = "the second is not ours"
PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*\Z")


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True)


def made(*arguments):
    done = openssl(*arguments)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(map(str, arguments))}: {done.stderr.decode()}")
    return done.stdout


def escaped(text):
    return re.sub(r"([\\#$\"'])", r"\\\1", text)


def word(rng, pieces, most):
    return "".join(rng.choices(pieces, k=rng.randint(1, most))).strip() or "x"


class Case:
    """One subject with its extensions, as an openssl configuration and as what has to be read of it."""

    def __init__(self, rng, number, folder):
        self.kind = ("p256", "ed25519", "p256", "ed25519", "p384", "rsa")[number % 6] if number < 12 else rng.choice(("p256", "ed25519"))
        self.mask = rng.choice(("utf8only", "utf8only", "pkix", "default"))
        plain, wide = list("abzAZ09 .-/:'()+,=?"), ["é", "日", "😀", "&", "<", "*", "\"", "#", "\\", "$", "a", "B"]
        self.names = {}
        for short, long in (("o", "O"), ("ou", "OU"), ("cn", "CN"), ("sn", "serialNumber")):
            if rng.random() < 0.75 or short == "cn":
                value = word(rng, plain + wide if short != "sn" and rng.random() < 0.6 else plain, 20)
                self.names[short] = (long, value)
        self.challenge = word(rng, list("abzAZ09 -."), 20) if rng.random() < 0.5 else ""
        self.challenge = self.challenge if len(self.challenge) >= 4 else ""
        self.serial = rng.getrandbits(rng.choice((5, 8, 64, 127, 158))) | 1
        self.days = rng.choice((1, 90, 3650, 12000, 99999))
        self.ca = rng.choice((None, False, True))
        self.path = rng.choice((None, 0, 1, 200)) if self.ca else None
        self.usage = sorted(rng.sample(sorted(CONFIGURED), rng.randint(1, 4))) if rng.random() < 0.7 else None
        self.purposes = rng.sample(["serverAuth", "clientAuth", "1.3.6.1.5.5.7.3.28", "anyExtendedKeyUsage", "codeSigning"], rng.randint(1, 3)) if rng.random() < 0.6 else None
        self.unknown = rng.choice((None, "", "critical,"))
        self.alternatives = [rng.choice(("DNS:a.example", f"DNS:x{rng.randrange(99)}.plant", "URI:urn:dev:ops:1", "URI:https://a/b?c=d,e&f", "IP:10.0.0.7", "IP:fe80::1", "IP:::",
                                         "email:a@b.example", "RID:1.2.3.4")) for _ in range(rng.randint(0, 5))]
        self.hardware = rng.randbytes(rng.choice((1, 8, 20))).hex() if rng.random() < 0.4 else None
        self.base = folder / f"{number}"
        self.config = self.base.with_suffix(".cnf")
        self.config.write_text(self.text(rng))

    def text(self, rng):
        lines = ["[req]", "prompt=no", "utf8=yes", f"string_mask={self.mask}", "distinguished_name=dn", "req_extensions=ext"]
        lines += ["attributes=attributes", "[attributes]", f"challengePassword={self.challenge}"] if self.challenge else []
        lines += ["[dn]"] + [f"{'+' if i > 0 and rng.random() < 0.2 else ''}{long}={escaped(value)}" for i, (long, value) in enumerate(self.names.values())]
        lines += [f"1.CN={SECOND}", "emailAddress=a@b.example", "[ext]"]
        if self.ca is not None:
            lines.append(f"basicConstraints={rng.choice(('', 'critical,'))}CA:{str(self.ca).upper()}" + (f",pathlen:{self.path}" if self.path is not None else ""))
        lines += [f"keyUsage={','.join(self.usage)}"] if self.usage else []
        lines += [f"extendedKeyUsage={','.join(self.purposes)}"] if self.purposes else []
        lines += ["subjectKeyIdentifier=hash"]
        lines += [f"1.2.3.4.5={self.unknown}ASN1:UTF8String:of others"] if self.unknown is not None else []
        lines += ["subjectAltName=@names"] if self.alternatives or self.hardware else []
        lines += ["[names]"] + [f"{name.partition(':')[0]}.{i}={name.partition(':')[2]}" for i, name in enumerate(self.alternatives)]
        lines += ["otherName.0=1.3.6.1.5.5.7.8.4;SEQUENCE:hardware", "[hardware]", f"a=OID:{HARDWARE_TYPE}", f"b=FORMAT:HEX,OCT:{self.hardware}"] if self.hardware else []
        return "\n".join(lines) + "\n"

    def make(self, authority):
        key, request, certificate = (self.base.with_suffix(s) for s in (".key", ".csr", ".crt"))
        made("genpkey", *KINDS[self.kind], "-out", key)
        made("req", "-new", "-key", key, "-config", self.config, "-outform", "DER", "-out", request)
        signer = ["-signkey", key] if self.serial % 4 == 1 else ["-CA", authority[0], "-CAkey", authority[1]]
        made("x509", "-req", "-inform", "DER", "-in", request, *signer, "-set_serial", self.serial, "-days", self.days, "-extfile", self.config, "-extensions", "ext",
             "-outform", "DER", "-out", certificate)
        self.request, self.certificate = request.read_bytes(), certificate.read_bytes()
        return self

    def texts(self, short):
        """What ours may read: it takes UTF8String, PrintableString and IA5String, and passes over the older types."""
        value = self.names.get(short, ("", ""))[1]
        older = self.mask != "utf8only" and not PRINTABLE.match(value)
        return (value, "", SECOND) if older else (value,)


def fields(answer):
    return dict(f.split("=", 1) for f in answer.split(" ")[1:]) if answer.startswith("ok") else None


def ask(program, lines):
    done = subprocess.run([str(program)], input="".join(f"{what} {der.hex()}\n" for what, der in lines), capture_output=True, text=True)
    answers = done.stdout.splitlines()
    if done.returncode != 0 or len(answers) != len(lines):
        raise RuntimeError(f"x509_tool ended with {done.returncode} after {len(answers)} of {len(lines)} lines {done.stderr[-500:]}")
    return [fields(a) for a in answers]


def after(text, heading):
    """The line below a heading of openssl's text; None where there is no such heading."""
    found = re.search(rf"^ *{heading}:.*\n(.*)$", text, re.M)
    return found.group(1).strip() if found else None


def octets(text):
    return re.sub(r"[^0-9a-f]", "", text.lower())


def date_ms(text):
    at = datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=datetime.timezone.utc)
    return str(int(at.timestamp()) * 1000)


def alternatives(mine):
    """Our general names in openssl's words, those of kinds that ours does not read as None."""
    words = []
    for name in mine["names"].split(",")[:-1]:
        tag, _, value = name.partition(":")
        raw = bytes.fromhex(value)
        if tag == "82":
            words.append("DNS:" + raw.decode("latin-1"))
        elif tag == "86":
            words.append("URI:" + raw.decode("latin-1"))
        elif tag == "87" and len(raw) == 4:
            words.append("IP Address:" + str(ipaddress.ip_address(raw)))
        elif tag == "87":
            words.append("IP Address:" + ":".join(f"{int.from_bytes(raw[i:i + 2], 'big'):X}" for i in range(0, 16, 2)))
        else:
            words.append(None)
    return words


def differences(mine, text):
    """Where ours reads something else than openssl printed: [(field, ours, openssl's)]."""
    found = []

    def hold(field, theirs):
        if mine[field] != theirs:
            found.append((field, mine[field], theirs))

    if "serial" in mine:
        serial = re.search(r"Serial Number:(?: *(\d+) \(|\s*\n\s*([0-9a-f:]+)\n)", text)
        number = int(serial.group(1)) if serial and serial.group(1) else int(octets(serial.group(2)), 16) if serial else None
        hold("serial", None if number is None else number.to_bytes((number.bit_length() + 7) // 8, "big").hex())
        for field, heading in (("from", "Not Before"), ("to", "Not After ")):
            at = re.search(rf"{heading}: (.*)", text)
            try:
                hold(field, date_ms(at.group(1).strip()))
            except (ValueError, AttributeError):
                found.append((field, mine[field], at and at.group(1)))
    key = re.search(r"^ *pub:\n((?: +[0-9a-f:]+\n)+)", text, re.M)
    if key is not None:  # no octets: openssl also looks whether the point is on the curve, as crypto/key.h does for us
        hold("key", octets(key.group(1)))
    constraints = after(text, "X509v3 Basic Constraints")
    hold("ca", "-1" if constraints is None else str(int(constraints.startswith("CA:TRUE"))))
    path = re.search(r"pathlen:(\d+)", constraints or "")
    hold("path", path.group(1) if path else "-1")
    usage = after(text, "X509v3 Key Usage")
    bits = sum(USAGES.get(u, 1 << 20) for u in usage.split(", ") if u) if usage is not None else -1
    if (int(mine["usage"]) & 0xff80 if usage is not None else int(mine["usage"])) != bits:
        found.append(("usage", mine["usage"], usage))
    purposes = after(text, "X509v3 Extended Key Usage")
    mask = 0
    for purpose in (purposes or "").split(", "):
        mask |= PURPOSES.get(purpose, 16)
    hold("purposes", "-1" if purposes is None else str(mask))
    hold("key_id", octets(after(text, "X509v3 Subject Key Identifier") or ""))
    names = after(text, "X509v3 Subject Alternative Name") or ""
    words = alternatives(mine)
    if None not in words and ", ".join(words) != names:
        found.append(("names", ", ".join(words), names))
    if None in words and any(w is not None and w not in names for w in words):
        found.append(("names", str(words), names))
    return found


def first_within(der):
    """The first element within the outermost: what is signed."""
    def header(at):
        return (2, der[at + 1]) if der[at + 1] < 0x80 else (2 + der[at + 1] % 128, int.from_bytes(der[at + 2:at + 2 + der[at + 1] % 128], "big"))
    start = header(0)[0]
    return der[start:start + sum(header(start))]


def pem(der, label):
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def texts_of(certificates, folder):
    """What openssl prints of each; None where it refuses. One process prints most; storeutl passes over some that x509 takes."""
    bundle, printed = folder / "bundle.pem", {}
    bundle.write_text("".join(pem(c, "CERTIFICATE") for c in certificates))
    said = openssl("storeutl", "-text", "-certs", bundle).stdout.decode("utf-8", "replace")
    for text in re.split(r"^\d+: Certificate\n", said, flags=re.M)[1:]:
        text, _, armour = text.partition("-----BEGIN CERTIFICATE-----")
        printed[base64.b64decode(armour.partition("-----END")[0])] = text

    def one(der):
        if der in printed:
            return printed[der]
        done = openssl("x509", "-noout", "-text", "-inform", "DER", data=der)
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, certificates))


def request_text(der):
    done = openssl("req", "-noout", "-text", "-inform", "DER", data=der)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def damaged(rng, der):
    changed = bytearray(der)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(changed))
        if rng.random() < 0.7:
            changed[at] = rng.choice((changed[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 0x80, 0xff, (changed[at] + 1) % 256))
        elif rng.random() < 0.5:
            del changed[at]
        else:
            changed.insert(at, rng.randrange(256))
    return bytes(changed)


class Test:
    def __init__(self, program, rng, folder):
        self.program, self.rng, self.folder = program, rng, folder
        self.wrong = []

    def complain(self, what, der):
        self.wrong.append(f"{what}: {der.hex()}")

    def make(self):
        authority = (self.folder / "ca.crt", self.folder / "ca.key")
        made("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=authority", "-days", "99", "-keyout", authority[1], "-out", authority[0])
        cases = [Case(self.rng, i, self.folder) for i in range(SETS)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda c: c.make(authority), cases))

    def read(self, cases):
        """What openssl made, here."""
        read = ask(self.program, [("c", c.certificate) for c in cases] + [("r", c.request) for c in cases])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            requests = list(pool.map(lambda c: request_text(c.request), cases))
        for case, mine, request, text, asked in zip(cases, read, read[len(cases):], texts_of([c.certificate for c in cases], self.folder), requests):
            if case.kind not in OURS:
                if mine is not None or request is not None:
                    self.complain(f"a key of {case.kind} is taken", case.certificate)
            elif mine is None or request is None:
                self.complain("openssl's certificate or request is refused", case.certificate if mine is None else case.request)
            else:
                self.hold_case(case, mine, request, text, asked)
        return [c for c in cases if c.kind in OURS]

    def hold_case(self, case, mine, request, text, asked):
        found = differences(mine, text) + differences(request, asked)
        for short in ("cn", "sn", "o", "ou"):
            if bytes.fromhex(mine[short]).decode() not in case.texts(short):
                found.append((short, bytes.fromhex(mine[short]), case.texts(short)))
        wanted = {"kind": OURS[case.kind], "unknown_critical": str(int(case.unknown == "critical,")), "hardware_serial": case.hardware or "",
                  "hardware_type": HARDWARE_OCTETS if case.hardware else "",
                  "usage": str(sum(CONFIGURED[u] for u in case.usage) if case.usage else -1)}
        for which in (mine, request):
            found += [(f, which[f], w) for f, w in wanted.items() if which[f] != w]
        if bytes.fromhex(request["challenge"]).decode() != case.challenge:
            found.append(("challenge", request["challenge"], case.challenge))
        for difference in found:
            self.complain(f"{difference}", case.certificate)

    def written(self, cases):
        """What ours writes, there."""
        answers = ask(self.program, [("C", c.certificate) for c in cases] + [("R", c.request) for c in cases])
        if None in answers:
            raise RuntimeError("ours does not write what it has read")
        ders = [bytes.fromhex(a["der"]) for a in answers]
        certificates, requests = ders[:len(cases)], ders[len(cases):]
        read = ask(self.program, [("c", d) for d in certificates] + [("r", d) for d in requests])

        def hold(item):
            at, der = item
            is_request = at >= len(cases)
            return self.request_holds(cases[at - len(cases)], der, read[at]) if is_request else self.certificate_holds(cases[at], der, read[at], at)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for item, found in zip(enumerate(ders), pool.map(hold, enumerate(ders))):
                for difference in found:
                    self.complain(f"written here, {difference}", item[1])

    def certificate_holds(self, case, der, mine, number):
        done = openssl("x509", "-noout", "-text", "-subject", "-issuer", "-pubkey", "-nameopt", "sep_multiline,sname,utf8", "-inform", "DER", data=der)
        if done.returncode != 0 or mine is None:
            return [("refused", done.stderr)]
        text, _, names = done.stdout.decode().partition("subject=\n")
        names, begin, key = names.partition("-----BEGIN")
        subject, _, issuer = names.partition("issuer=\n")
        found = differences(mine, text)
        values = [(long, bytes.fromhex(mine[short]).decode()) for short, long in (("o", "O"), ("ou", "OU"), ("cn", "CN"), ("sn", "serialNumber"))]
        wanted = "".join(f"    {long}={value}\n" for long, value in values if value)
        if any(value not in case.texts(short) for short, (_, value) in zip(("o", "ou", "cn", "sn"), values)) or subject != wanted or issuer != wanted:
            found.append(("subject", wanted, subject))
        key_file, tbs, signature = (self.folder / f"written{number}.{part}" for part in ("pub", "tbs", "sig"))
        key_file.write_text(begin + key)
        tbs.write_bytes(first_within(der))
        for flipped in (0, 1):  # the second one shows that the first was looked at
            raw = bytearray.fromhex(mine["signature"])
            raw[-1] ^= flipped
            signature.write_bytes(raw)
            digest = ["-digest", "sha256"] if case.kind == "p256" else []
            if (openssl("pkeyutl", "-verify", "-rawin", *digest, "-pubin", "-inkey", key_file, "-in", tbs, "-sigfile", signature).returncode == 0) == bool(flipped):
                found.append(("signature", "verifies though it is another" if flipped else "does not verify", ""))
        return found

    @staticmethod
    def request_holds(case, der, mine):
        done = openssl("req", "-noout", "-text", "-verify", "-inform", "DER", data=der)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        if done.returncode != 0 or mine is None or "verify OK" not in said:
            return [("refused", said)]
        found = differences(mine, done.stdout.decode("utf-8", "replace"))
        if case.challenge and case.challenge not in said:
            found.append(("challenge", case.challenge, "not there"))
        return found

    def damage(self, cases):
        """Ours is the stricter one: what it takes openssl takes, and reads the same in it."""
        certificates = [damaged(self.rng, c.certificate) for c in cases for _ in range(DAMAGED)]
        requests = [damaged(self.rng, c.request) for c in cases for _ in range(DAMAGED)]
        taken = [(d, m) for d, m in zip(certificates, ask(self.program, [("c", d) for d in certificates])) if m is not None]
        asked = [(d, m) for d, m in zip(requests, ask(self.program, [("r", d) for d in requests])) if m is not None][:DAMAGED_REQUESTS_TAKEN]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            texts = texts_of([d for d, _ in taken], self.folder) + list(pool.map(lambda t: request_text(t[0]), asked))
        for (der, mine), text in zip(taken + asked, texts):
            for difference in [("taken here", "", "refused")] if text is None else differences(mine, text):
                self.complain(f"damaged, {difference}", der)
        if len(taken) < len(certificates) // 20 or len(asked) < DAMAGED_REQUESTS_TAKEN // 2:
            self.wrong.append(f"only {len(taken)} and {len(asked)} damaged ones were compared")
        return len(certificates) + len(requests), len(taken) + len(asked)


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 20261123
    program = next((b / "tools" / "x509_tool" for b in BUILDS if (b / "tools" / "x509_tool").exists()), None)
    if program is None or shutil.which("openssl") is None:
        print("x509_tool is not built, or there is no openssl\n0 passed, 1 failed, 0 skipped")
        return 1
    with tempfile.TemporaryDirectory(prefix="holdfast-x509-") as folder:
        test = Test(program, random.Random(seed), pathlib.Path(folder))
        cases = test.make()
        ours = test.read(cases)
        test.written(ours)
        damaged_count, taken = test.damage(ours)
    print("\n".join(test.wrong[:20]))
    print(f"seed {seed}: {len(cases)} certificates and requests of openssl, {2 * len(ours)} of ours, {damaged_count} damaged, {taken} of them taken")
    print(f"{0 if test.wrong else 1} passed, {1 if test.wrong else 0} failed, 0 skipped")
    return 1 if test.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
