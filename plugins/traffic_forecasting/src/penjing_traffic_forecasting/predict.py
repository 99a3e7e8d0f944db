def predict(request):
    return []
