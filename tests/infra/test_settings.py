"""Settings come from the environment alone, and a wrong one stops the program with its name."""

from pathlib import Path

import pytest

from infra.settings import ConfigurationError, Settings


def test_the_defaults_follow_from_each_other() -> None:
    """A fresh machine needs no setting; what is derived follows what was set."""
    settings = Settings.load()
    assert (settings.data_dir, settings.url) == (Path("var"), "http://127.0.0.1:8080")
    assert settings.admin_key_file == Path("var/admin.key")
    assert settings.roles == {"api", "projector"}
    assert settings.allowed_hosts == ("127.0.0.1", "localhost", "[::1]")
    moved = Settings.load(data_dir=Path("/data"), host="box.example", port=9000)
    assert (moved.secrets_dir, moved.url) == (Path("/data/secrets"), "http://box.example:9000")
    assert "box.example" in moved.allowed_hosts
    assert "http://box.example:9000" in moved.allowed_origins


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104 - nothing is bound
        ("::", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
    ],
)
def test_the_url_of_a_server_that_listens_everywhere_is_a_loopback_one(host: str, url: str) -> None:
    """One cannot connect to the unspecified address, and no Host header names it."""
    settings = Settings.load(host=host)
    assert settings.url == url
    assert settings.allowed_hosts == ("127.0.0.1", "localhost", "[::1]")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are separated by commas, numbers are numbers."""
    monkeypatch.setenv("CHRONICLE_ROLES", " projector ")
    monkeypatch.setenv("CHRONICLE_PORT", "0")
    monkeypatch.setenv("CHRONICLE_ALLOWED_HOSTS", "a.example, B.example:8443")
    monkeypatch.setenv("CHRONICLE_ALLOWED_ORIGINS", "https://a.example")
    monkeypatch.setenv("CHRONICLE_LOG_LEVEL", "DEBUG")
    settings = Settings.load()
    assert settings.roles == {"projector"}
    assert settings.allowed_hosts == ("a.example", "b.example:8443")
    assert settings.allowed_origins == ("https://a.example",)
    assert (settings.port, settings.log_level) == (0, "debug")


def test_a_dot_env_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that happens to lie around must not change what the program does."""
    (tmp_path / ".env").write_text("CHRONICLE_PORT=1\n")
    monkeypatch.chdir(tmp_path)
    assert Settings.load().port == 8080


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CHRONICLE_PROT", "CHRONICLE_PORT"),
        ("CHRONICLE_REDIS", "CHRONICLE_REDIS_URL"),
        ("chronicle_data_dirr", "CHRONICLE_DATA_DIR"),
        ("CHRONICLE_ELASTICSEARCH_APIKEY", "CHRONICLE_ELASTICSEARCH_API_KEY"),
    ],
)
def test_an_unknown_variable_is_named_with_its_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    """A misspelt variable that is passed over is a default that nobody chose."""
    monkeypatch.setenv(name, "s3cret")
    with pytest.raises(ConfigurationError, match=rf"{name}\b.*{nearest};") as refusal:
        Settings.load()
    assert "s3cret" not in refusal.value.message


def test_variables_that_are_no_settings_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets and the tests' own variables share the prefix."""
    monkeypatch.setenv("CHRONICLE_SECRET_A", "x")
    monkeypatch.setenv("CHRONICLE_TEST_B", "x")
    Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "s3cret"),
        ("PORT", "65536"),
        ("ROLES", "api,s3cret"),
        ("ROLES", ""),
        ("DURABILITY", "s3cret"),
        ("LOG_FORMAT", "s3cret"),
        ("DEPLOYMENT", "S3cret!"),
        ("DEPLOYMENT", "{a}"),
        ("REDIS_URL", "http://:s3cret@h"),
        ("REDIS_URL", ""),
        ("CACHE_URL", "redis://:s3cret@h:port"),
        ("ELASTICSEARCH_URL", "h:9200"),
        ("URL", "ftp://s3cret"),
        ("URL", "http://u:s3cret@h"),
        ("REQUEST_DEADLINE_S", "0"),
        ("REQUEST_DEADLINE_S", "nan"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://a.example/path"),
        ("HOST", ""),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The message names the variable, and not the value, which may hold a password."""
    monkeypatch.setenv(f"CHRONICLE_{name}", value)
    with pytest.raises(ConfigurationError, match=f"CHRONICLE_{name}: ") as refusal:
        Settings.load()
    assert "s3cret" not in refusal.value.message.lower()
    assert refusal.value.message.count("CHRONICLE_") == 1, "what follows from the wrong value is not a fault"
    assert refusal.value.__cause__ is None


def test_passwords_are_shown_nowhere() -> None:
    """Neither in the description nor in a repr: both end up in logs."""
    settings = Settings.load(
        redis_url="rediss://user:s3cret@redis.example:6380/1?password=s3cret",
        elasticsearch_url="https://elastic:s3cret@search.example:9200",
        elasticsearch_api_key="s3cret://x",
    )
    described = settings.describe()
    assert "s3cret" not in repr(settings) + str(settings) + str(described)
    assert described["CHRONICLE_REDIS_URL"] == "rediss://[redacted]@redis.example:6380/1?[redacted]"
    assert described["CHRONICLE_ELASTICSEARCH_URL"] == "https://[redacted]@search.example:9200"
    assert described["CHRONICLE_ELASTICSEARCH_API_KEY"] == "[redacted]"
    assert described["CHRONICLE_CACHE_URL"] == ""
    assert described["CHRONICLE_ROLES"] == "api,projector"
    assert len(described) == len(Settings.model_fields)
    assert settings.redis_url
    assert settings.redis_url.get_secret_value().startswith("rediss://user:s3cret@")
