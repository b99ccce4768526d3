# Made by `python -m trunkline.adapters.pipecat.stub`: change the carriers, not this file.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from pipecat.serializers.base_serializer import FrameSerializer

from .adapters.pipecat.runner import adapted as adapted
from .adapters.pipecat.runner import carrier_socket as carrier_socket
from .adapters.pipecat.runner import parse_telephony_websocket as parse_telephony_websocket
from .adapters.pipecat.serializer import CarrierFrameSerializer as CarrierFrameSerializer
from .adapters.pipecat.serializer import frame_serializer as frame_serializer
from .adapters.pipecat.services import OfflineLLMService as OfflineLLMService
from .adapters.pipecat.services import OfflineSTTService as OfflineSTTService
from .adapters.pipecat.services import OfflineTTSService as OfflineTTSService
from .adapters.pipecat.services import warm_up as warm_up
from .adapters.pipecat.transport import TrunklineParams as TrunklineParams
from .adapters.pipecat.transport import TrunklineTransport as TrunklineTransport
from .rest import Send

class BandwidthFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        bandwidth_sample_rate: int = 8000
        sample_rate: int | None = None
        outbound_encoding: str = "PCMU"
        outbound_pcm_sample_rate: int = 24000
        audio_track: str | None = "inbound"
        auto_hang_up: bool = True

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        stream_id: str,
        call_id: str | None = None,
        account_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        params: InputParams | None = None,
        *,
        send: Send | None = None,
    ) -> None: ...

class ExotelFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        exotel_sample_rate: int = 8000
        sample_rate: int | None = None
        codec: str = "L16"
        audio_track: str | None = "inbound"

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        stream_sid: str,
        call_sid: str | None = None,
        params: InputParams | None = None,
        *,
        send: Send | None = None,
    ) -> None: ...

class PlivoFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        plivo_sample_rate: int = 8000
        sample_rate: int | None = None
        codec: str = "PCMU"
        audio_track: str | None = "inbound"
        auto_hang_up: bool = True

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        stream_id: str,
        call_id: str | None = None,
        auth_id: str | None = None,
        auth_token: str | None = None,
        params: InputParams | None = None,
        *,
        send: Send | None = None,
    ) -> None: ...

class SFVoPIFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        sfvopi_sample_rate: int = 8000
        sample_rate: int | None = None
        codec: str = "PCMA"
        audio_track: str | None = "inbound"

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        stream_id: str,
        call_id: str | None = None,
        params: InputParams | None = None,
        *,
        send: Send | None = None,
    ) -> None: ...

class TelnyxFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        telnyx_sample_rate: int = 8000
        sample_rate: int | None = None
        outbound_encoding: str = "PCMU"
        inbound_encoding: str = "PCMU"
        audio_track: str | None = "inbound"
        auto_hang_up: bool = True

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        stream_id: str,
        outbound_encoding: str,
        inbound_encoding: str,
        call_control_id: str | None = None,
        api_key: str | None = None,
        params: InputParams | None = None,
        *,
        send: Send | None = None,
    ) -> None: ...

class TwilioFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        twilio_sample_rate: int = 8000
        sample_rate: int | None = None
        audio_track: str | None = "inbound"
        auto_hang_up: bool = True

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        stream_sid: str,
        call_sid: str | None = None,
        account_sid: str | None = None,
        auth_token: str | None = None,
        region: str | None = None,
        edge: str | None = None,
        base_url: str | None = None,
        params: InputParams | None = None,
        *,
        api_key_sid: str | None = None,
        api_key_secret: str | None = None,
        send: Send | None = None,
    ) -> None: ...

class VonageFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        vonage_sample_rate: int = 16000
        sample_rate: int | None = None
        audio_track: str | None = "inbound"
        auto_hang_up: bool | None = None

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        params: InputParams | None = None,
        *,
        call_id: str | None = None,
        application_id: str | None = None,
        private_key: str | None = None,
        send: Send | None = None,
    ) -> None: ...

class WavixFrameSerializer(FrameSerializer):
    class InputParams(FrameSerializer.InputParams):
        wavix_sample_rate: int = 24000
        sample_rate: int | None = None
        audio_track: str | None = "inbound"
        auto_hang_up: bool | None = None

    stream_id: str | None
    call_id: str | None
    def __init__(
        self,
        stream_id: str,
        params: InputParams | None = None,
        *,
        call_id: str | None = None,
        api_key: str | None = None,
        send: Send | None = None,
    ) -> None: ...
