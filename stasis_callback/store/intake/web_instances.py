"""Web instances."""

from __future__ import annotations

from typing import TypeAlias

from stasis_callback.core.stored_options import StoredOptions
from stasis_callback.core.web import WEB_NAMES, WebConfiguration
from stasis_callback.store.intake.instances import URL_NAME, InstanceKind, Instances, InstanceView
from stasis_callback.store.intake.tables import WebInstance

WebInstanceView: TypeAlias = InstanceView[WebConfiguration]
WebInstances: TypeAlias = Instances[WebConfiguration]

WEB = InstanceKind(
    WebInstance,
    "web",
    URL_NAME,
    "the name of a web instance is 1 to 32 small letters, digits and dashes",
    StoredOptions(WebConfiguration.parse, WEB_NAMES, (("type", "extended"),)),
)
