"""A certificate authority of the test's own, made with openssl in a temporary directory."""

import os
import shutil
import subprocess
import tempfile


class Authority:
    """Certificates for `localhost` and 127.0.0.1, and for clients. Files: path("ca.pem"), path("NAME.pem"), path("NAME.key")."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="heptane-ca-")
        self._new_key("ca")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/O=Heptane/CN=test CA", "-days", "2", "-out", "ca.pem")

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def ca(self):
        return self.path("ca.pem")

    def issue(self, name, common_name=None):
        """NAME.pem and NAME.key; a repeat replaces them. The serial number, in upper-case hexadecimal."""
        self._new_key(name)
        subject = f"/O=Heptane/CN={common_name or name}"
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        with open(self.path("names"), "w", encoding="ascii") as out:
            out.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                      "2", "-extfile", "names", "-out", f"{name}.pem")
        return self._openssl("x509", "-in", f"{name}.pem", "-noout", "-serial").strip().partition("=")[2]

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def _new_key(self, name):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
        return done.stdout
