"""Web instances."""

from __future__ import annotations

import re
from typing import TypeAlias

from stasis_callback.core.web import WEB_NAMES, WebConfiguration
from stasis_callback.store.intake.instances import InstanceKind, Instances, InstanceView
from stasis_callback.store.intake.tables import WebInstance

WebInstanceView: TypeAlias = InstanceView[WebConfiguration]
WebInstances: TypeAlias = Instances[WebConfiguration]

WEB = InstanceKind(
    WebInstance,
    "web",
    re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII),
    "the name of a web instance is 1 to 32 small letters, digits and dashes",
    WEB_NAMES,
    WebConfiguration.parse,
)
