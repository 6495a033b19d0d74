"""E-mail instances: the addresses that accept mails. The name of an instance is its address in lower case."""

from __future__ import annotations

import re
from typing import TypeAlias

from stasis_callback.core.email import EMAIL_NAMES, EmailConfiguration
from stasis_callback.core.stored_options import StoredOptions
from stasis_callback.store.intake.instances import InstanceKind, Instances, InstanceView
from stasis_callback.store.intake.tables import EmailInstance

EmailInstanceView: TypeAlias = InstanceView[EmailConfiguration]
EmailInstances: TypeAlias = Instances[EmailConfiguration]

EMAIL = InstanceKind(
    EmailInstance,
    "email",
    re.compile(r"[a-z0-9._+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z0-9-]{1,63}", re.ASCII),
    "the name of an e-mail instance is its address in small letters, like callback@example.com",
    StoredOptions(EmailConfiguration.parse, EMAIL_NAMES),
)
