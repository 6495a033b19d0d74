"""`web form`: a form to restyle, or to put into a page of one's own."""

from __future__ import annotations

from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.intake.web_instances import WebInstanceView
from stasis_callback.web.desk import FIELD_LIMIT, FORM_VERSION
from stasis_callback.web.pages import Pages, template_environment
from stasis_callback.web.texts import LANGUAGES, texts


def sample_form(instance: WebInstanceView, origin: str, language: str | None = None) -> str:
    """A complete HTML document. Raises InvalidInput for a language the instance does not have."""
    offered = [one for one in instance.configuration.languages if one in LANGUAGES]
    chosen = language or offered[0]
    if chosen not in offered:
        raise InvalidInput(
            f"language {chosen!r} is not enabled for {instance.name}: use one of {', '.join(offered)}"
        )
    settings, words = instance.configuration.settings, texts(chosen)
    return (
        template_environment()
        .get_template("sample.html")
        .render(
            t=words,
            lang=chosen,
            settings=settings,
            action=f"{origin}/web/{instance.name}",
            origins=settings.origins,
            fields=Pages.fields(instance, words, chosen),
            field_limit=FIELD_LIMIT,
            version=FORM_VERSION,
        )
    )
