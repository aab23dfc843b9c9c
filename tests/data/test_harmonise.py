import numpy as np

from da_bench.data.harmonise import match_images, resize


def test_resize_keeps_flat_images_and_positions():
    flat = np.full((1, 16, 16, 1), 77, np.uint8)
    np.testing.assert_array_equal(resize(flat, 28), np.full((1, 28, 28, 1), 77))
    image = np.zeros((1, 16, 16, 3), np.uint8)
    image[0, :8, :, 1] = 255
    resized = resize(image, 28)[0]
    assert (resized[:13, :, 1] == 255).all()
    assert (resized[15:] == 0).all()
    assert (resized[..., [0, 2]] == 0).all()


def test_small_grey_images_match_large_colour_images():
    small_grey, large_colour = np.full((2, 28, 28, 1), 9, np.uint8), np.zeros((3, 32, 32, 3), np.uint8)
    for resized, unchanged in (match_images(small_grey, large_colour), match_images(large_colour, small_grey)[::-1]):
        np.testing.assert_array_equal(resized, np.full((2, 32, 32, 3), 9))
        assert unchanged is large_colour or (unchanged == large_colour).all()


def test_equal_shapes_and_features_are_unchanged():
    for source, target in [((2, 8, 8, 1), (3, 8, 8, 1)), ((2, 5), (2, 4)), ((2, 128, 9), (2, 64, 9))]:
        arrays = np.zeros(source, np.float32), np.zeros(target, np.float32)
        assert all(result is array for result, array in zip(match_images(*arrays), arrays, strict=True))
