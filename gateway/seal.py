"""Authenticated encryption of small values under the gateway's own key (AES-256-GCM, NIST SP 800-38D).

The key is 32 bytes in ``private/``; it seals the secrets of access keys in the catalogue and the manifests that lie
beside blobs, so that neither a copied database nor a read bucket gives away who may sign or what is stored.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32
_NONCE_SIZE = 12


class SealBroken(Exception):
    """The bytes were not sealed by this key for this purpose, or were changed."""


class Seal:
    """Seals and opens bytes; ``purpose`` binds a sealed value to the one place where it is valid."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a sealing key has {KEY_SIZE} bytes, not {len(key)}")
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "<Seal>"

    def close(self, plain: bytes, purpose: bytes) -> bytes:
        """Nonce and ciphertext with its tag."""
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, plain, purpose)

    def open(self, sealed: bytes, purpose: bytes) -> bytes:
        """The plain bytes; SealBroken where the key, the purpose or a bit is another."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], purpose)
        except (InvalidTag, ValueError) as fault:
            raise SealBroken("sealed value does not open") from fault
