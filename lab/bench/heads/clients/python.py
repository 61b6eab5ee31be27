# What programs of PyPI send: `python python.py NAME URL`.
import asyncio
import sys

name, url = sys.argv[1:]


def httpx_get():
    import httpx

    httpx.get(url, headers={"Authorization": "Bearer " + "t" * 180})


def requests_get():
    import requests

    requests.get(url)


def aiohttp_get():
    import aiohttp

    async def get():
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.read()

    asyncio.run(get())


def e2b_read():
    from e2b import Sandbox
    from e2b.connection_config import ConnectionConfig
    from packaging.version import Version

    config = ConnectionConfig(api_key="e2b_" + "0123456789" * 4, sandbox_url=url)
    sandbox = Sandbox(
        sandbox_id="i1a2b3c4d5e6f7",
        sandbox_domain=None,
        envd_version=Version("0.4.0"),
        envd_access_token="ea_0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        traffic_access_token=None,
        connection_config=config,
    )
    sandbox.files.read("/home/user/a.txt")


def openai_chat():
    import openai

    client = openai.OpenAI(base_url=url, api_key="sk-" + "x" * 48, max_retries=0)
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])


{
    "httpx": httpx_get,
    "requests": requests_get,
    "aiohttp": aiohttp_get,
    "e2b-python": e2b_read,
    "openai-python": openai_chat,
}[name]()
