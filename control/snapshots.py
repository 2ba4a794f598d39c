"""The conference core's live objects as store records and back, and both as what the API shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, cast

from control import schemas as s
from control.conference import Conference
from control.participant import Participant, ParticipantState, Role
from control.placement import TICK_US
from control.plan import ConferenceState, Plan
from control.ports import MixerState
from control.store.records import AccountRecord, ConferenceRecord, LegRecord, ParticipantRecord
from mixer.protocol import LegStats, RoomSettings

LOSSY = 0.02
"""Loss above which a leg is named in the network state report."""


def moment(seconds: float) -> datetime:
    """Unix seconds as an aware datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def _optional(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


# --- to the store and back ----------------------------------------------------------------------------------------


def conference_record(conference: Conference) -> ConferenceRecord:
    plan = conference.plan
    return ConferenceRecord(
        id=plan.id,
        number=plan.number,
        topic=plan.topic,
        state=conference.state,
        created=moment(plan.created),
        starts=moment(plan.starts),
        ends=moment(plan.ends),
        started=_optional(conference.started),
        ended=_optional(conference.ended),
        end_reason=conference.end_reason,
        duration_minutes=round((plan.ends - plan.starts) / 60),
        seats=plan.seats,
        locked=conference.locked,
        levelling=plan.sound.levelling,
        talkers=plan.sound.talkers,
        silence_music=plan.sound.silence_music,
        chair_pin=plan.chair_pin,
        guest_pin=plan.guest_pin,
        owner=plan.owner,
        request_key=plan.request_key,
    )


def participant_record(conference_id: str, participant: Participant) -> ParticipantRecord:
    return ParticipantRecord(
        id=participant.id,
        conference=conference_id,
        number=participant.number,
        name=participant.name,
        email=participant.email,
        role=participant.planned_role if participant.planned else participant.role,
        state=participant.state,
        reason=participant.reason,
        failure=participant.failure,
        muted=participant.muted,
        deaf=participant.deaf,
        talk_gain_db=participant.talk_gain_db,
        listen_gain_db=participant.listen_gain_db,
        levelling=participant.levelling,
        created=moment(participant.created),
        joined=_optional(participant.joined),
        request_key=participant.request_key,
    )


def restore_conference(
    record: ConferenceRecord,
    participants: list[ParticipantRecord],
    *,
    now: float,
    new_id: Callable[[], str],
    ring_seconds: float,
) -> Conference:
    """A conference that a server before this one ran, with its missed deadlines done."""
    plan = Plan(
        id=record.id,
        number=record.number,
        topic=record.topic,
        starts=record.starts.timestamp(),
        ends=record.ends.timestamp(),
        seats=record.seats,
        chair_pin=record.chair_pin,
        guest_pin=record.guest_pin,
        created=record.created.timestamp(),
        owner=record.owner,
        sound=RoomSettings(record.talkers, record.levelling, record.silence_music),
        request_key=record.request_key,
    )
    conference = Conference(plan, new_id=new_id, ring_seconds=ring_seconds)
    conference.restore(
        state=ConferenceState(record.state),
        locked=record.locked,
        started=record.started.timestamp() if record.started else None,
        end_reason=record.end_reason,
        participants=[_restore_participant(p) for p in participants],
        now=now,
    )
    return conference


def _restore_participant(record: ParticipantRecord) -> Participant:
    role = Role(record.role)
    return Participant(
        id=record.id,
        number=record.number,
        name=record.name,
        email=record.email,
        planned_role=role,
        role=role,
        planned=True,
        created=record.created.timestamp(),
        state=ParticipantState(record.state),
        reason=record.reason,
        failure=record.failure,
        muted=record.muted,
        deaf=record.deaf,
        talk_gain_db=record.talk_gain_db,
        listen_gain_db=record.listen_gain_db,
        levelling=record.levelling,
        joined=record.joined.timestamp() if record.joined else None,
        request_key=record.request_key,
    )


# --- to the API ---------------------------------------------------------------------------------------------------


def conference_view(record: ConferenceRecord, *, seats_taken: int, sip_host: str) -> s.ConferenceView:
    """``sip_host``: host, and port if need be, that phones call."""
    return s.ConferenceView(
        id=record.id,
        number=record.number,
        topic=record.topic,
        state=cast("s.ConferenceState", record.state),
        start=record.starts,
        end=record.ended or record.ends,
        duration_minutes=record.duration_minutes,
        seats=record.seats,
        seats_taken=seats_taken,
        locked=record.locked,
        levelling=record.levelling,
        talkers=record.talkers,
        silence_music=record.silence_music,
        chair_pin=record.chair_pin,
        guest_pin=record.guest_pin,
        uri=f"sip:{record.number}@{sip_host}",
        created=record.created,
        ended_reason=record.end_reason or None,
    )


def participant_view(participant: Participant) -> s.ParticipantView:
    return s.ParticipantView(
        id=participant.id,
        number=participant.number,
        name=participant.name,
        email=participant.email or None,
        role=participant.role.value,
        state=participant.state.value,
        reason=participant.reason or None,
        failure=participant.failure or None,
        muted=participant.muted,
        deaf=participant.deaf,
        held=participant.held,
        talk_gain_db=participant.talk_gain_db,
        listen_gain_db=participant.listen_gain_db,
        levelling=participant.levelling,
        talking=participant.talking,
        playing_music=participant.playing_music,
        leg=participant.leg,
        joined=_optional(participant.joined),
    )


def past_participant_view(record: ParticipantRecord) -> s.ParticipantView:
    """A participant of a conference that has ended."""
    return participant_view(_restore_participant(record))


def leg_figures(stats: LegStats | None) -> s.LegFigures | None:
    return None if stats is None else s.LegFigures(**{name: getattr(stats, name) for name in s.LegFigures.model_fields})


def network_report(
    conference: Conference, rows: Sequence[tuple[Participant, str | None, LegStats | None]], *, now: float
) -> s.NetworkReport:
    """``rows``: each participant with a leg, its codec and what the mixer says of it."""
    heard = [(p, stats) for p, _, stats in rows if stats is not None and stats.packets_received]
    opinions = [stats.mos for _, stats in heard]
    return s.NetworkReport(
        conference_id=conference.id,
        state=conference.state.value,
        time=moment(now),
        summary=s.NetworkSummary(
            legs=len(heard),
            worst_mos=min(opinions, default=None),
            mean_mos=round(fmean(opinions), 2) if opinions else None,
            lossy=[p.id for p, stats in heard if max(stats.loss_fraction, stats.remote_lost_fraction or 0) > LOSSY],
        ),
        participants=[
            s.NetworkParticipant(
                id=p.id,
                number=p.number,
                name=p.name,
                state=p.state.value,
                held=p.held,
                codec=codec,
                figures=leg_figures(stats),
            )
            for p, codec, stats in rows
        ],
    )


def leg_view(record: LegRecord) -> s.LegView:
    return s.LegView(
        id=record.id,
        conference_id=record.conference,
        participant_id=record.participant,
        direction=cast("Any", record.direction),
        from_number=record.from_number,
        to_number=record.to_number,
        transport=record.transport or None,
        started=record.started,
        ringing=record.ringing,
        answered=record.answered,
        ended=record.ended,
        end_kind=record.end_kind or None,
        end_reason=record.end_reason or None,
        status=record.status,
        codec=record.codec or None,
        figures=s.LegFigures(**record.media) if record.media else None,
    )


def mixer_view(state: MixerState) -> s.MixerView:
    load = {name: getattr(state.load, name) for name in s.MixerView.model_fields if hasattr(state.load, name)}
    share = round(state.load.tick_us / TICK_US, 3)
    return s.MixerView(up=state.up, takes_legs=state.takes_legs, share=share, **load)


def account_view(record: AccountRecord) -> s.AccountView:
    return s.AccountView(
        number=record.name,
        kind=cast("Any", record.kind),
        name=record.display_name,
        role=cast("Any", record.role),
        blocked=record.blocked,
        created=record.created,
    )
