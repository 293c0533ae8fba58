"""``vitreous demo``, and the comparison with the truth that it prints."""


def test_demo(vitreous, tmp_path):
    words = ("demo", "-o", tmp_path / "demo", "-n", 600, "--classes", 12, "--no-model", "--json")
    ended = vitreous(*words)
    assert ended.code == 0, ended.err
    truth = ended.events[-1]
    assert truth["event"] == "truth"
    assert truth["report"] == str(tmp_path / "demo" / "class2d" / "report.html")
    assert truth["pair_angle_deg"] < 0.7 * truth["pair_angle_random_deg"]
    assert truth["direction_angle_deg"] < 0.7 * truth["direction_angle_random_deg"]
    assert truth["correlation"] > 0.7
    assert "viewing directions in a class differ by" in ended.err
    again = vitreous(*words)
    assert again.events[-1] == truth
    assert "finished already" in again.err
