"""Wavix's whole flow in an app of yours: webhooks, the answer over REST, media, the hang-up."""

import asyncio

from conversation import talk
from fastapi import FastAPI
from services import warm_up

from trunkline import Call, Settings, router
from trunkline.pipecat import TrunklineTransport
from trunkline.server import serve


async def bot(call: Call) -> None:
    await talk(TrunklineTransport(call))


bot.warm_up = warm_up


def create_app(settings: Settings, **options) -> FastAPI:
    app = FastAPI()
    app.include_router(router(bot, settings, **options))

    @app.get("/")
    async def calls() -> dict[str, int]:
        """What an app of yours has beside the phone: here, how many calls there are."""
        return {"calls": len(app.state.trunkline.switchboard.calls)}

    return app


async def main() -> None:
    settings = Settings()
    await serve(
        create_app(settings),
        "127.0.0.1",
        8080,
        drain_timeout=settings.drain_timeout,
        max_message=settings.max_message,
    )


if __name__ == "__main__":
    asyncio.run(main())
