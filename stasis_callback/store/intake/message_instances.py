"""Message instances: the gateways that hand over messages."""

from __future__ import annotations

from typing import TypeAlias

from stasis_callback.core.messages import MESSAGE_NAMES, MessageConfiguration
from stasis_callback.core.stored_options import StoredOptions
from stasis_callback.store.intake.instances import URL_NAME, InstanceKind, Instances, InstanceView
from stasis_callback.store.intake.tables import MessageInstance

MessageInstanceView: TypeAlias = InstanceView[MessageConfiguration]
MessageInstances: TypeAlias = Instances[MessageConfiguration]

MESSAGE = InstanceKind(
    MessageInstance,
    "message",
    URL_NAME,
    "the name of a message instance is 1 to 32 small letters, digits and dashes",
    StoredOptions(MessageConfiguration.parse, MESSAGE_NAMES),
    key_option="secret_number",
)
