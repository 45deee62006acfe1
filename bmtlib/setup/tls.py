"""The proxy's front in HTTPS: its certificate, made on the director, so that the key never leaves it.

Sources: openssl-req(1) (-addext is there from OpenSSL 1.1.1, as RHEL 8 has it), openssl-x509(1); HAProxy's manual,
`crt`: one PEM file with certificate and key.
"""

from __future__ import annotations

from bmtlib.params.proxy_options import Tls
from bmtlib.setup.change import Change, Command, command

_FOLDER = "/etc/bmt/tls"

# $1 path, $2 address, $3 bits of the key. In $KEEP lies what was there, or NAME.none: the folders that had to be made.
_KEPT = """\
: "${KEEP:?no folder to keep files in}"
pem=$1; new=$1.bmt-new; kept=$KEEP/$(printf %s "$1" | tr / %)
there() { [ -e "$1" ] || [ -L "$1" ]; }
back() {
  rm -f "$new" "$new.key" || return
  if there "$kept"; then cp -a -- "$kept" "$new" && mv -fT "$new" "$pem" && rm -f "$kept"
  elif [ -e "$kept.none" ]; then
    rm -f "$pem" && while read -r folder; do
      [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder" || exit
    done < "$kept.none" && rm -f "$kept.none"
  fi
}
"""
_MAKE = f"""\
{_KEPT}
[ ! -d "$pem" ] || {{ echo "$pem is a folder" >&2; exit 1; }}
if there "$kept" || [ -e "$kept.none" ]; then :
elif there "$pem"; then rm -f "$kept.part" && cp -a -- "$pem" "$kept.part" && mv -fT "$kept.part" "$kept"
else
  folder=${{pem%/*}}
  while [ -n "$folder" ] && [ ! -d "$folder" ]; do printf '%s\\n' "$folder"; folder=${{folder%/*}}; done > "$kept.part"
  mv -f "$kept.part" "$kept.none"
fi || exit
make() {{
  mkdir -p "${{pem%/*}}" && umask 077 && rm -f "$new" "$new.key" || return
  said=$(openssl req -x509 -newkey "rsa:$3" -nodes -sha256 -days 3650 -subj "/CN=$2" -addext "subjectAltName=IP:$2" \\
    -keyout "$new.key" -out "$new" 2>&1) || {{ printf '%s\\n' "$said" | tail -n 3 >&2; return 1; }}
  cat "$new.key" >> "$new" && rm -f "$new.key" && mv -fT "$new" "$pem"
}}
make "$@" || {{ back; exit 1; }}
"""
_BACK = _KEPT + "back\n"
# $1 path. 2592000 s are 30 days. HAProxy takes the key from NAME.key, too (from 2.2 on).
_LOOK = """\
[ -f "$1" ] || { echo none; exit; }
text=$(openssl x509 -in "$1" -noout -text 2>/dev/null) || { echo "no certificate"; exit; }
printf '%s\\n' "$text" | sed -n 's/.*Public-Key: (\\([0-9]* bit\\)).*/\\1/p; s/.*\\(IP Address:[^, ]*\\).*/\\1/p'
key=$1; [ ! -f "$1.key" ] || key=$1.key
[ "$(openssl pkey -in "$key" -passin pass: -pubout 2>/dev/null)" = "$(openssl x509 -in "$1" -noout -pubkey)" ] ||
  echo "without its key"
openssl x509 -in "$1" -noout -checkend 2592000 >/dev/null || echo "not valid for 30 days"
stat -c 'mode %a' "$1"
"""


def certificate_path(tls: Tls, vip: str) -> str:
    """The PEM file that HAProxy reads.

    >>> certificate_path(Tls(), "192.168.16.100")
    '/etc/bmt/tls/192.168.16.100.pem'
    """
    return f"{_FOLDER}/{vip}.pem" if tls.certificate == "self-signed" else tls.certificate


def certificate_probe(tls: Tls, vip: str) -> Command:
    """Prints what certificate the director has; for `certificate_changes`. "none" where there is no such file."""
    return command("sh", "-c", _LOOK, "sh", certificate_path(tls, vip))


def certificate_changes(host: str, tls: Tls, *, vip: str, present: str | None) -> list[Change]:
    """A self-signed certificate for `vip`, for ten years as the seed's; no change where one that fits is there already.

    `present` is what certificate_probe printed, None where nobody has looked. One of the user's own is never changed.
    """
    expect = f"{tls.key_bits} bit IP Address:{vip} mode 600"
    if tls.certificate != "self-signed" or (present is not None and " ".join(present.split()) == expect):
        return []
    path = certificate_path(tls, vip)
    return [
        Change(
            host=host,
            what=f"certificate {path}",
            before=None if present is None or present.strip() == "none" else " ".join(present.split()),
            want=f"self-signed for {vip}, RSA {tls.key_bits} bits",
            do=command("sh", "-c", _MAKE, "sh", path, vip, str(tls.key_bits)),
            undo=command("sh", "-c", _BACK, "sh", path),
            check=certificate_probe(tls, vip),
            expect=expect,
            reason="the proxy's front in HTTPS",
            lasting=True,
            seconds=60,
        )
    ]


def tls_probe(vip: str, port: int, path: str = "/") -> list[str]:
    """The words of curl that ask `path` in HTTPS, whoever has signed the certificate; prints the status, such as 200.

    >>> tls_probe("192.168.16.100", 443)[-1]
    'https://192.168.16.100:443/'
    """
    quiet = ["curl", "-q", "--noproxy", "*", "-sS", "-k", "--max-time", "20", "-H", "Connection: close"]
    return [*quiet, "-o", "/dev/null", "-w", "%{http_code}\\n", f"https://{vip}:{port}{path}"]
