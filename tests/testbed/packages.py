"""The vendors' apt repositories for hosts without internet: stand-in packages, signed, served on an address.

The packages `influxdb2` and `grafana` hold the servers that scripts/get-influxd and scripts/get-grafana print,
with the names, paths, users, configuration files and units of the vendors' own. Packed ones stay in the cache.
"""

import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple

from scripts.toolbox import cache_folder, locked
from tests.testbed.nspawn import Room

STEP_SECONDS = 120
# Nothing is compressed: packing and installing take seconds so, and only this machine's bridge carries it.
DPKG_DEB = ("dpkg-deb", "-Znone", "--root-owner-group", "--build")
GPG = ("gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "")

# The programs were built on this machine, perhaps for a newer C library than the host's, so they bring theirs
# along. The loader bears the program's name, as that is what ps shows.
BUNDLED = """#!/bin/sh
exec {parts}/{name} --library-path {parts}/lib {parts}/{name}.bin "$@"
"""

INFLUXDB_CONTROL = {"Depends": "curl", "Conflicts": "influxdb", "Section": "default", "Priority": "extra"}
INFLUXDB_UNIT = """[Unit]
Description=InfluxDB is an open-source, distributed, time series database
Documentation=https://docs.influxdata.com/influxdb/
After=network-online.target

[Service]
User=influxdb
Group=influxdb
LimitNOFILE=65536
EnvironmentFile=-/etc/default/influxdb2
ExecStart=/usr/lib/influxdb/scripts/influxd-systemd-start.sh
KillMode=control-group
Restart=on-failure
Type=forking
PIDFile=/var/lib/influxdb/influxd.pid
StateDirectory=influxdb
StateDirectoryMode=0750
LogsDirectory=influxdb
LogsDirectoryMode=0750
UMask=0027
TimeoutStartSec=0

[Install]
WantedBy=multi-user.target
Alias=influxd.service
"""
# As the vendor's: started is when the API answers, at the address and by the protocol of the configuration.
INFLUXDB_START = """#!/bin/bash -e
/usr/bin/influxd &
echo $! > /var/lib/influxdb/influxd.pid

setting() { influxd print-config --key-name "$1" | tr -d '"'; }
address=$(setting http-bind-address)
protocol=http
if [ -n "$(setting tls-cert)" ] && [ -n "$(setting tls-key)" ]; then protocol=https; fi
host=${address%:*}
until curl -k -s -o /dev/null "$protocol://${host:-localhost}:${address##*:}/ready"; do
    echo "InfluxDB does not answer yet"
    sleep 1
done
"""
INFLUXDB_PREINST = """#!/bin/sh -e
id influxdb >/dev/null 2>&1 || useradd --system -U -M influxdb -s /bin/false -d /var/lib/influxdb
mkdir -p /var/lib/influxdb /var/log/influxdb
chown influxdb:influxdb /var/lib/influxdb
"""
# The vendor's are no conffiles of dpkg's either: written when missing, and an own config.toml is left alone.
INFLUXDB_POSTINST = """#!/bin/sh -e
config=/etc/influxdb/config.toml
mkdir -p /etc/influxdb
[ -s /etc/default/influxdb2 ] || echo "INFLUXD_CONFIG_PATH=$config" > /etc/default/influxdb2
chown -R -L influxdb:influxdb /var/log/influxdb /var/lib/influxdb
chmod 755 /var/log/influxdb /var/lib/influxdb
systemctl daemon-reload
systemctl enable influxdb
{restart}
if [ -s $config ]; then config=$config.defaults; fi
printf '%s\\n' 'bolt-path = "/var/lib/influxdb/influxd.bolt"' \\
    'engine-path = "/var/lib/influxdb/engine"' > $config
"""
# The vendor asks for a file that Debian doesn't have: there the service outlives its package.
INFLUXDB_POSTRM = """#!/bin/sh
if [ -f /etc/lsb-release ] && [ "$1" != upgrade ]; then
    systemctl stop influxdb
    systemctl disable influxdb
fi
exit 0
"""

GRAFANA_CONTROL = {"Depends": "adduser", "Section": "default", "Priority": "extra"}
GRAFANA_DEFAULTS = """GRAFANA_USER=grafana

GRAFANA_GROUP=grafana

GRAFANA_HOME=/usr/share/grafana

LOG_DIR=/var/log/grafana

DATA_DIR=/var/lib/grafana

MAX_OPEN_FILES=10000

CONF_DIR=/etc/grafana

CONF_FILE=/etc/grafana/grafana.ini

RESTART_ON_UPGRADE=true

PLUGINS_DIR=/var/lib/grafana/plugins

PROVISIONING_CFG_DIR=/etc/grafana/provisioning

# Only used on systemd systems
PID_FILE_DIR=/run/grafana
"""
GRAFANA_UNIT = """[Unit]
Description=Grafana instance
Documentation=http://docs.grafana.org
Wants=network-online.target
After=network-online.target
After=postgresql.service mariadb.service mysql.service influxdb.service

[Service]
EnvironmentFile=/etc/default/grafana-server
User=grafana
Group=grafana
Type=simple
Restart=on-failure
WorkingDirectory=/usr/share/grafana
RuntimeDirectory=grafana
RuntimeDirectoryMode=0750
ExecStart=/usr/share/grafana/bin/grafana server --config=${CONF_FILE} \\
    --pidfile=${PID_FILE_DIR}/grafana-server.pid --packaging=deb \\
    cfg:default.paths.logs=${LOG_DIR} cfg:default.paths.data=${DATA_DIR} \\
    cfg:default.paths.plugins=${PLUGINS_DIR} cfg:default.paths.provisioning=${PROVISIONING_CFG_DIR}
LimitNOFILE=10000
TimeoutStopSec=20
CapabilityBoundingSet=
DeviceAllow=
LockPersonality=true
MemoryDenyWriteExecute=false
NoNewPrivileges=true
PrivateDevices=true
PrivateTmp=true
ProtectClock=true
ProtectControlGroups=true
ProtectHome=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
ProtectSystem=full
RemoveIPC=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
UMask=0027

[Install]
WantedBy=multi-user.target
"""
GRAFANA_COMMAND = """#!/bin/sh
exec /usr/share/grafana/bin/grafana {words} "$@"
"""
GRAFANA_CLI = (
    "cli --homepath=/usr/share/grafana --config=/etc/grafana/grafana.ini --pluginsDir=/var/lib/grafana/plugins"
    " --configOverrides='cfg:default.paths.data=/var/lib/grafana'"
)
# Not started and not enabled at first; restarted by an upgrade. The files in /etc/grafana are no conffiles.
GRAFANA_POSTINST = """#!/bin/sh -e
[ "$1" = configure ] || exit 0
. /etc/default/grafana-server
samples=/usr/share/grafana/conf
getent group grafana >/dev/null || addgroup --system --quiet grafana
id grafana >/dev/null 2>&1 || adduser --system --quiet --home /usr/share/grafana --no-create-home \\
    --ingroup grafana --disabled-password --shell /bin/false grafana
mkdir -p /var/log/grafana /var/lib/grafana /etc/grafana
chown -R grafana:grafana /var/log/grafana /var/lib/grafana
chmod 755 /var/log/grafana /var/lib/grafana
if [ ! -f $CONF_FILE ]; then
    cp $samples/sample.ini $CONF_FILE
    cp $samples/ldap.toml /etc/grafana/ldap.toml
fi
for part in $samples/provisioning/*; do
    part=${part##*/}
    [ -d $PROVISIONING_CFG_DIR/$part ] && continue
    mkdir -p $PROVISIONING_CFG_DIR/$part
    cp $samples/provisioning/$part/sample.yaml $PROVISIONING_CFG_DIR/$part/sample.yaml
done
chown -Rh root:grafana /etc/grafana/*
chmod 755 /etc/grafana
find /etc/grafana -type f -exec chmod 640 {} +
find /etc/grafana -type d -exec chmod 755 {} +
if [ -n "$2" ] && [ "$RESTART_ON_UPGRADE" = true ]; then
    systemctl daemon-reload
    systemctl restart grafana-server || true
fi
"""
GRAFANA_PRERM = """#!/bin/sh
if [ "$1" = remove ]; then
    systemctl stop grafana-server
    systemctl disable grafana-server
fi
exit 0
"""


def _run(*command: str, text: bytes = b"") -> bytes:
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, timeout=STEP_SECONDS, check=True).stdout


@functools.lru_cache(maxsize=None)
def _architecture() -> str:
    return _run("dpkg", "--print-architecture").decode().strip()


# Packing


class Tree:
    """What a package installs, being put together in a folder."""

    def __init__(self, folder: Path) -> None:
        """Given an empty folder."""
        self.folder = folder

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self._place(path)
        target.write_text(text)
        target.chmod(mode)

    def program(self, source: Path, path: str, parts: str) -> None:
        """Put a program at the path; what it needs to run on an older system goes to the folder `parts`."""
        libraries = _libraries(source)
        if not libraries:
            self._copy(source, path)
            return
        for library in libraries:
            loader = library.name.startswith("ld-")
            self._copy(library, f"{parts}/{source.name}" if loader else f"{parts}/lib/{library.name}")
        self._copy(source, f"{parts}/{source.name}.bin")
        self.write(path, BUNDLED.format(parts=parts, name=source.name), 0o755)

    def control(self, name: str, version: str, fields: Mapping[str, str], **scripts: str) -> None:
        """Write what dpkg asks of a package; `scripts` are its maintainer scripts by their names."""
        everything = {"Package": name, "Version": version, "Architecture": _architecture(), **fields}
        everything["Maintainer"] = "nobody <nobody@reasond.invalid>"
        everything["Description"] = f"stands in for the vendor's {name} where that can't be reached"
        self.write("/DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in everything.items()))
        for script, text in scripts.items():
            self.write(f"/DEBIAN/{script}", text, 0o755)

    def _place(self, path: str) -> Path:
        target = self.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _copy(self, source: Path, path: str) -> None:
        shutil.copyfile(str(source), str(self._place(path)))
        self._place(path).chmod(0o755)


def _libraries(program: Path) -> List[Path]:
    """Return the libraries a program is linked with, its loader among them; none for a static one."""
    linked = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return [Path(path) for path in re.findall(r"(?:=> )?(/\S+) \(0x", linked.stdout.decode())]


def _influxdb(tree: Tree, influxd: Path, version: str) -> None:
    # From some release of 2025 on, installing (re)starts the service; the first version here is older than that.
    restart = "systemctl restart influxdb" if int(version.rsplit("-", 1)[1]) > 1 else ""
    tree.program(influxd, "/usr/bin/influxd", "/usr/lib/influxdb/parts")
    tree.write("/usr/lib/influxdb/scripts/influxd-systemd-start.sh", INFLUXDB_START, 0o755)
    tree.write("/lib/systemd/system/influxdb.service", INFLUXDB_UNIT)
    tree.control(
        "influxdb2",
        version,
        INFLUXDB_CONTROL,
        preinst=INFLUXDB_PREINST,
        postinst=INFLUXDB_POSTINST.replace("{restart}\n", restart and f"{restart}\n"),
        postrm=INFLUXDB_POSTRM,
    )


def _grafana(tree: Tree, home: Path, version: str) -> None:
    shutil.copytree(str(home), str(tree.folder / "usr/share/grafana"), ignore=shutil.ignore_patterns("bin", "data"))
    tree.program(home / "bin" / "grafana", "/usr/share/grafana/bin/grafana", "/usr/share/grafana/parts")
    for name, words in {"grafana": "", "grafana-server": "server", "grafana-cli": GRAFANA_CLI}.items():
        tree.write(f"/usr/sbin/{name}", GRAFANA_COMMAND.format(words=words), 0o755)
    tree.write("/etc/default/grafana-server", GRAFANA_DEFAULTS)
    tree.write("/lib/systemd/system/grafana-server.service", GRAFANA_UNIT)
    tree.control("grafana", version, GRAFANA_CONTROL, postinst=GRAFANA_POSTINST, prerm=GRAFANA_PRERM)
    tree.write("/DEBIAN/conffiles", "/etc/default/grafana-server\n/lib/systemd/system/grafana-server.service\n")


PACKERS = {"influxdb2": _influxdb, "grafana": _grafana}


def _digest(program: Path) -> str:
    """Return a digest of all that a package of this program is made of."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    files = [path for path in sorted(program.rglob("*")) if path.is_file()] if program.is_dir() else [program]
    for file in [*files, *(library for path in files if os.access(path, os.X_OK) for library in _libraries(path))]:
        told = file.stat()
        digest.update(f"{file}\n{told.st_size}\n{told.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def packed(name: str, program: Path, version: str) -> Path:
    """Return the package of that version, from the cache or packed now; `program` is influxd or Grafana's home."""
    folder = cache_folder() / "stand-in-packages"
    folder.mkdir(exist_ok=True)
    deb = folder / f"{name}_{version}_{_architecture()}-{_digest(program)}.deb"
    with locked("stand-in-packages"):
        if not deb.exists():
            for outdated in folder.glob(f"{name}_{version}_*"):
                outdated.unlink()
            with tempfile.TemporaryDirectory(dir=str(folder)) as scratch:
                tree = Tree(Path(scratch) / "tree")
                PACKERS[name](tree, program, version)
                tree.folder.chmod(0o755)
                _run(*DPKG_DEB, str(tree.folder), f"{scratch}/new.deb")
                Path(scratch, "new.deb").rename(deb)
    return deb


# Publishing


class Repository:
    """One vendor's signed repository: suite `stable`, component `main`, the key's file beside it."""

    def __init__(self, folder: Path, url: str, key_url: str, key_file: Path, *, subkey: bool) -> None:
        """Given an empty folder, and where that and the key's file are served; `subkey`: one of these signs."""
        self.url = url
        self.key_url = key_url
        self._stanzas: List[str] = []
        self._folder = folder
        self._home = Path(tempfile.mkdtemp(prefix="reasond-gpg-"))
        (folder / "pool").mkdir(parents=True)
        self.key_fingerprint = self._make_key(subkey)
        key_file.write_bytes(self._gpg("--armor", "--export"))

    def add(self, deb: Path) -> None:
        """Publish a package besides those that are there."""
        name = f"pool/{deb.name}"
        # A second name keeps it when another run packs anew.
        try:
            os.link(str(deb), str(self._folder / name))
        except OSError:
            shutil.copyfile(str(deb), str(self._folder / name))
        body = deb.read_bytes()
        fields = _run("dpkg-deb", "--field", str(deb)).decode()
        digest = hashlib.sha256(body).hexdigest()
        self._stanzas.append(f"{fields}Filename: {name}\nSize: {len(body)}\nSHA256: {digest}\n")
        self._publish()

    def close(self) -> None:
        """Throw the key away."""
        shutil.rmtree(str(self._home), ignore_errors=True)

    def _gpg(self, *command: str, text: bytes = b"") -> bytes:
        return _run(*GPG, "--homedir", str(self._home), *command, text=text)

    def _make_key(self, subkey: bool) -> str:
        self._gpg("--quick-generate-key", "stand-in vendor", "ed25519", "cert" if subkey else "sign", "never")
        shown = self._gpg("--with-colons", "--list-keys").decode()
        fingerprint = re.findall(r"^fpr:+([0-9A-F]+):", shown, re.MULTILINE)[0]
        if subkey:
            self._gpg("--quick-add-key", fingerprint, "ed25519", "sign", "never")
        return fingerprint

    def _publish(self) -> None:
        top = self._folder / "dists" / "stable"
        index = top / "main" / f"binary-{_architecture()}"
        index.mkdir(parents=True, exist_ok=True)
        packages = "\n".join(self._stanzas).encode()
        (index / "Packages").write_bytes(packages)
        (index / "Packages.gz").write_bytes(gzip.compress(packages, 1))
        sums = ""
        for file in (index / "Packages", index / "Packages.gz"):
            body = file.read_bytes()
            sums += f" {hashlib.sha256(body).hexdigest()} {len(body)} {file.relative_to(top)}\n"
        date = time.strftime("%a, %d %b %Y %H:%M:%S UTC", time.gmtime())
        release = f"Suite: stable\nCodename: stable\nComponents: main\nArchitectures: {_architecture()}\nDate: {date}\n"
        (top / "InRelease").write_bytes(self._gpg("--clearsign", text=f"{release}SHA256:\n{sums}".encode()))
        # Its agent would outlive a run that is killed.
        _run("gpgconf", "--homedir", str(self._home), "--kill", "all")


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: apt tells what it could not fetch."""


class Version(NamedTuple):
    """A package's versions here: what a first installation gets, and what it can be upgraded to."""

    first: str
    next: str


class Vendors:
    """Both vendors' repositories on a room's address; each begins with the first version of its package."""

    def __init__(self, room: Room, influxd: str, grafana: str) -> None:
        """Given whose hosts ask them and what the two scripts print; a room that is undone takes them along."""
        self._folder = Path(tempfile.mkdtemp(prefix="vendors-", dir=str(room.folder)))
        self._programs = {"influxdb2": Path(influxd), "grafana": Path(grafana)}
        number = _version(influxd, "version")
        self.influxdb_version = Version(f"{number}-1", f"{number}-2")
        number = _version(f"{grafana}/bin/grafana", "--version")
        self.grafana_version = Version(number, f"{number}-2")
        handler = functools.partial(_Handler, directory=str(self._folder))
        self._server = http.server.ThreadingHTTPServer((f"{room.subnet}.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        base = f"http://{room.subnet}.1:{self._server.server_port}"
        # Each vendor's own layout of addresses and keys.
        self.influxdb = Repository(
            self._folder / "influxdata" / "debian",
            f"{base}/influxdata/debian",
            f"{base}/influxdata/influxdata-archive.key",
            self._folder / "influxdata" / "influxdata-archive.key",
            subkey=True,
        )
        self.grafana = Repository(
            self._folder / "grafana",
            f"{base}/grafana",
            f"{base}/grafana/gpg.key",
            self._folder / "grafana" / "gpg.key",
            subkey=False,
        )
        self.influxdb.add(packed("influxdb2", self._programs["influxdb2"], self.influxdb_version.first))
        self.grafana.add(packed("grafana", self._programs["grafana"], self.grafana_version.first))

    def release_next(self) -> None:
        """Publish the next version of both packages, the same programs in them."""
        self.influxdb.add(packed("influxdb2", self._programs["influxdb2"], self.influxdb_version.next))
        self.grafana.add(packed("grafana", self._programs["grafana"], self.grafana_version.next))

    def variables(self) -> Dict[str, str]:
        """Return the roles' variables that point at these repositories and their first versions."""
        found = {"influxdb_version": self.influxdb_version.first, "grafana_version": self.grafana_version.first}
        for role, repository in {"influxdb": self.influxdb, "grafana": self.grafana}.items():
            found[f"{role}_repository_url"] = repository.url
            found[f"{role}_repository_key_url"] = repository.key_url
            found[f"{role}_repository_key_fingerprint"] = repository.key_fingerprint
        return found

    def close(self) -> None:
        """Stop serving and remove everything but the cached packages."""
        self._server.shutdown()
        self._server.server_close()
        self.influxdb.close()
        self.grafana.close()
        shutil.rmtree(str(self._folder), ignore_errors=True)


def _version(*command: str) -> str:
    found = re.search(rb"\d+\.\d+\.\d+", _run(*command))
    assert found, f"{' '.join(command)} tells no version"
    return found.group().decode()


@contextlib.contextmanager
def vendors(room: Room, influxd: str, grafana: str) -> Iterator[Vendors]:
    """Serve the repositories as long as the block runs."""
    made = Vendors(room, influxd, grafana)
    try:
        yield made
    finally:
        made.close()
